#include <base/json.h>
#include <base/log.h>
#include <base/metrics.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "unit.h"

/* Standard error is replaced while a test logs; what came out is read afterwards. */
static int saved = -1;
static char got[256 * 1024];
static size_t got_n;

static void replace_stderr(int fd) {
    saved = dup(STDERR_FILENO);
    assert_true(saved >= 0);
    assert_int_equal(STDERR_FILENO, dup2(fd, STDERR_FILENO));
    log_setup("worker", LOG_LEVEL_INFO);
}

static void restore_stderr(void) {
    assert_int_equal(STDERR_FILENO, dup2(saved, STDERR_FILENO));
    (void)close(saved);
    log_setup("worker", LOG_LEVEL_INFO);
}

/* Reads what is there without waiting. */
static void drain(int fd) {
    got_n = 0;
    assert_int_equal(0, fcntl(fd, F_SETFL, O_NONBLOCK));
    for (;;) {
        ssize_t n = read(fd, got + got_n, sizeof got - 1 - got_n);
        if (n <= 0) {
            break;
        }
        got_n += (size_t)n;
    }
    got[got_n] = '\0';
}

static int ends[2]; /* of a pipe */

static void begin_pipe(void) {
    assert_int_equal(0, pipe(ends));
    replace_stderr(ends[1]);
}

static void end_pipe(void) {
    drain(ends[0]);
    restore_stderr();
    (void)close(ends[0]);
    (void)close(ends[1]);
}

static json_t *parse(struct str line) {
    json_t *o = NULL;
    struct err e = json_read(line, &o);
    if (err_is_set(e)) {
        fail_msg("%s in %.*s", e.detail, STR_ARG(line));
    }
    return o;
}

static void assert_member(const json_t *o, const char *name, const char *value) {
    assert_string_equal(value, json_string_value(json_object_get(o, name)));
}

static void test_log__given_fields_then_one_json_line_with_fixed_keys_first(void **state) {
    (void)state;
    struct uuid id;
    struct trace trace;
    struct err e = err_make(ERR_REDIS_DOWN, "connection refused");
    assert_true(uuid_parse(STR("017f22e2-79b0-7cc3-98c4-dc0c0c07398f"), &id));
    assert_true(trace_parse(STR("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), &trace));
    begin_pipe();
    LOG(WARN, "job.done", LF_STR("type", STR("order.place")), LF_INT("ms", -3), LF_REAL("s", 0.25), LF_BOOL("again", true),
        LF_REAL("none", NAN), LF_UUID("job", &id), LF_TRACE(&trace), LF_ERR(e), LF_STR("empty", STR_NONE));
    end_pipe();
    char expected[512];
    (void)snprintf(
        expected, sizeof expected,
        "\",\"level\":\"warn\",\"event\":\"job.done\",\"role\":\"worker\",\"pid\":%d,\"type\":\"order.place\",\"ms\":-3,"
        "\"s\":0.25,\"again\":true,\"none\":null,\"job\":\"017f22e2-79b0-7cc3-98c4-dc0c0c07398f\","
        "\"trace_id\":\"4bf92f3577b34da6a3ce929d0e0e4736\",\"span_id\":\"00f067aa0ba902b7\",\"error\":\"redis_down\",\"detail\":\"connection refused\","
        "\"empty\":\"\"}\n",
        (int)getpid());
    assert_memory_equal("{\"ts\":\"20", got, 9);
    assert_string_equal(expected, got + 7 + WALL_TEXT_BYTES - 1);
    json_decref(parse(str_of(got, got_n - 1)));
}

static void test_log__given_a_level_then_lesser_events_are_not_written(void **state) {
    (void)state;
    enum log_level level = LOG_LEVEL_INFO;
    static const char *const names[] = {"debug", "info", "warn", "error"};
    for (int i = 0; i < 4; i++) {
        assert_true(log_level_parse(str_c(names[i]), &level));
        assert_int_equal(i, level);
    }
    assert_false(log_level_parse(STR("Warn"), &level));
    assert_false(log_level_parse(STR(""), &level));
    assert_int_equal(LOG_LEVEL_ERROR, level);
    begin_pipe();
    LOG(DEBUG, "no", LF_INT("n", 1));
    log_setup("api", LOG_LEVEL_ERROR);
    LOG(WARN, "no", LF_INT("n", 1));
    LOG(ERROR, "yes", LF_INT("n", 1));
    end_pipe();
    json_t *o = parse(str_of(got, got_n - 1)); /* one line only */
    assert_member(o, "event", "yes");
    assert_member(o, "role", "api");
    json_decref(o);
}

static void test_log__given_hostile_values_then_the_line_stays_one_line_and_valid(void **state) {
    (void)state;
    begin_pipe();
    LOG(INFO, "x", LF_STR("v", str_of("\"}\n\r\t\\\0\x1b[31m\x7f\xc2\x9b\xff\xc3\xa9", 18)));
    end_pipe();
    assert_int_equal(got_n - 1, strcspn(got, "\n"));
    for (size_t i = 0; i + 1 < got_n; i++) {
        assert_true((unsigned char)got[i] >= ' ' && got[i] != 0x7f);
    }
    json_t *o;
    assert_non_null(strstr(got, "\\u0000"));
    got_n -= 1;
    char *nul = strstr(got, "\\u0000"); /* the project's reader takes no NUL */
    memcpy(nul, "\\u0041", 6);
    o = parse(str_of(got, got_n));
    assert_member(o, "v", "\"}\n\r\t\\A\x1b[31m???\xef\xbf\xbd\xc3\xa9");
    json_decref(o);
}

static void test_log__given_a_long_value_then_it_is_cut_between_characters(void **state) {
    (void)state;
    char text[2000];
    memset(text, 'a', sizeof text);
    memcpy(text + 1022, "\xe2\x82\xac", 3); /* a euro sign across the limit */
    begin_pipe();
    LOG(INFO, "x", LF_STR("v", str_of(text, sizeof text)), LF_STR("u", str_of(text, 1022)), LF_STR("w", str_of(text, 2)));
    end_pipe();
    json_t *o = parse(str_of(got, got_n - 1));
    assert_int_equal(1022, json_string_length(json_object_get(o, "v")));
    assert_int_equal(1022, json_string_length(json_object_get(o, "u")));
    json_decref(o);
}

static void test_log__given_too_many_fields_then_a_short_valid_line_that_says_so(void **state) {
    (void)state;
    char text[1024];
    memset(text, 1, sizeof text); /* six bytes each when escaped */
    struct str s = str_of(text, sizeof text);
    begin_pipe();
    LOG(INFO, "x", LF_INT("first", 1), LF_STR("a", s), LF_STR("b", s));
    end_pipe();
    json_t *o = parse(str_of(got, got_n - 1));
    assert_true(got_n <= PIPE_BUF);
    assert_true(json_is_true(json_object_get(o, "truncated")));
    assert_int_equal(1, json_integer_value(json_object_get(o, "first")));
    assert_null(json_object_get(o, "a"));
    json_decref(o);
    begin_pipe();
    memset(text, 'x', sizeof text);
    LOG(INFO, "x", LF_STR("a", s), LF_STR("b", s), LF_STR("c", s), LF_STR("d", s), LF_INT("last", 1));
    end_pipe();
    o = parse(str_of(got, got_n - 1));
    assert_non_null(json_object_get(o, "c"));
    assert_null(json_object_get(o, "d"));
    assert_null(json_object_get(o, "last"));
    json_decref(o);
}

static void test_log__given_a_terminal_then_logfmt(void **state) {
    (void)state;
    int main_side;
    int terminal;
    assert_int_equal(0, openpty(&main_side, &terminal, NULL, NULL, NULL));
    struct termios t;
    assert_int_equal(0, tcgetattr(terminal, &t));
    cfmakeraw(&t);
    assert_int_equal(0, tcsetattr(terminal, TCSANOW, &t));
    replace_stderr(terminal);
    LOG(ERROR, "x.y", LF_C("plain", "a-b/c"), LF_C("space", "a b"), LF_C("eq", "a=b"), LF_C("none", ""), LF_C("quote", "a\"b"),
        LF_C("esc", "\x1b[2J"), LF_INT("n", 7), LF_BOOL("no", false));
    drain(main_side);
    restore_stderr();
    (void)close(terminal);
    (void)close(main_side);
    char expected[300];
    (void)snprintf(expected, sizeof expected,
                   " level=error event=x.y role=worker pid=%d plain=a-b/c space=\"a b\" eq=\"a=b\" none=\"\" quote=\"a\\\"b\" "
                   "esc=\"\\u001b[2J\" n=7 no=false\n",
                   (int)getpid());
    assert_memory_equal("ts=20", got, 5);
    assert_string_equal(expected, got + 3 + WALL_TEXT_BYTES - 1);
}

static double dropped(void) {
    struct buf b;
    buf_init(&b, 256 * 1024);
    metrics_snapshot(&b);
    buf_add_char(&b, '\0');
    assert_ok(buf_status(&b));
    const char *at = strstr(b.p, "penstock_log_lines_dropped_total ");
    double n = at != NULL ? strtod(at + sizeof "penstock_log_lines_dropped_total", NULL) : 0;
    buf_free(&b);
    return n;
}

static size_t count_whole_lines(void) {
    struct str rest = str_of(got, got_n);
    struct str line;
    size_t n = 0;
    while (str_cut(&rest, '\n', &line)) {
        json_decref(parse(line));
        n++;
    }
    return n;
}

static void test_log__given_a_full_pipe_then_lines_are_dropped_and_counted_and_none_is_torn(void **state) {
    (void)state;
    enum { LINES = 2000 };
    double before = dropped();
    char text[300];
    memset(text, 'x', sizeof text);
    begin_pipe(); /* both ends block: a write of ours to the shared description would hang here */
    for (int i = 0; i < LINES; i++) {
        LOG(INFO, "x", LF_INT("i", i), LF_STR("t", str_of(text, (size_t)(i % 300))));
    }
    end_pipe();
    assert_true(got[got_n - 1] == '\n');
    size_t whole = count_whole_lines();
    assert_true(whole > 10 && whole < LINES);
    assert_int_equal(LINES, whole + (size_t)(dropped() - before));
}

static void test_log__given_a_full_socket_then_lines_are_dropped_and_counted(void **state) {
    (void)state;
    enum { LINES = 5000 };
    int pair[2];
    double before = dropped();
    assert_int_equal(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    replace_stderr(pair[1]);
    for (int i = 0; i < LINES; i++) {
        LOG(INFO, "x", LF_INT("i", i));
    }
    drain(pair[0]);
    restore_stderr();
    size_t whole = count_whole_lines();
    assert_true(whole > 10 && whole < LINES);
    assert_int_equal(LINES, whole + (size_t)(dropped() - before));
    (void)close(pair[0]);
    (void)close(pair[1]);
}

static int begin_file(void) {
    char name[] = "/tmp/unit_log_XXXXXX";
    int fd = mkstemp(name);
    assert_true(fd >= 0);
    assert_int_equal(0, unlink(name));
    replace_stderr(fd);
    return fd;
}

static void end_file(int fd) {
    restore_stderr();
    assert_int_equal(0, lseek(fd, 0, SEEK_SET));
    drain(fd);
    (void)close(fd);
}

/* Files take that many bytes, as on a full disk. */
static void limit_files(rlim_t bytes) {
    struct rlimit limit;
    assert_int_equal(0, getrlimit(RLIMIT_FSIZE, &limit));
    limit.rlim_cur = bytes;
    assert_int_equal(0, setrlimit(RLIMIT_FSIZE, &limit));
}

static void test_log__given_a_line_written_in_part_then_the_next_is_whole(void **state) {
    (void)state;
    double before = dropped();
    int fd = begin_file();
    limit_files(50);
    LOG(INFO, "torn", LF_INT("i", 1));
    limit_files(RLIM_INFINITY);
    LOG(INFO, "whole", LF_INT("i", 2));
    LOG(INFO, "whole", LF_INT("i", 3));
    end_file(fd);
    assert_true(dropped() - before == 1);
    assert_int_equal('\n', got[50]);
    struct str rest = str_of(got + 51, got_n - 51);
    struct str line;
    for (int i = 2; i <= 3; i++) {
        assert_true(str_cut(&rest, '\n', &line));
        json_t *o = parse(line);
        assert_int_equal(i, json_integer_value(json_object_get(o, "i")));
        json_decref(o);
    }
    assert_int_equal(0, rest.n);
}

static void test_log__given_held_lines_then_they_wait_for_the_flush_or_an_error(void **state) {
    (void)state;
    begin_pipe();
    log_hold(true);
    LOG(INFO, "a", LF_INT("i", 1));
    LOG(WARN, "b", LF_INT("i", 2));
    drain(ends[0]);
    assert_int_equal(0, got_n);
    log_flush();
    drain(ends[0]);
    assert_int_equal(2, count_whole_lines());
    LOG(INFO, "c", LF_INT("i", 3));
    LOG(ERROR, "d", LF_INT("i", 4));
    drain(ends[0]);
    assert_int_equal(2, count_whole_lines());
    assert_true(strstr(got, "\"c\"") < strstr(got, "\"d\""));
    LOG(INFO, "e", LF_INT("i", 5));
    log_hold(false);
    drain(ends[0]);
    assert_int_equal(1, count_whole_lines());
    log_flush(); /* nothing twice */
    LOG(INFO, "f", LF_INT("i", 6));
    end_pipe();
    assert_int_equal(1, count_whole_lines());
}

/* The reader of such a socket sees each write by itself. */
static void test_log__given_many_held_lines_then_each_write_is_of_whole_lines_and_short(void **state) {
    (void)state;
    enum { LINES = 200 }; /* not more than the socket takes */
    int pair[2], next = 0;
    char text[300];
    memset(text, 'x', sizeof text);
    assert_int_equal(0, socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair));
    replace_stderr(pair[1]);
    log_hold(true);
    for (int i = 0; i < LINES; i++) {
        LOG(INFO, "x", LF_INT("i", i), LF_STR("t", str_of(text, (size_t)(i % 300))));
    }
    log_hold(false);
    int writes = 0;
    ssize_t n;
    while ((n = recv(pair[0], got, sizeof got, MSG_DONTWAIT)) > 0) {
        writes++;
        got_n = (size_t)n;
        assert_true(n <= PIPE_BUF);
        assert_int_equal('\n', got[n - 1]);
        struct str rest = str_of(got, got_n), line;
        while (str_cut(&rest, '\n', &line)) {
            json_t *o = parse(line);
            assert_int_equal(next++, json_integer_value(json_object_get(o, "i")));
            json_decref(o);
        }
    }
    restore_stderr();
    (void)close(pair[0]);
    (void)close(pair[1]);
    assert_int_equal(LINES, next);
    assert_true(writes < LINES / 5);
}

static void test_log__given_held_lines_written_in_part_then_the_rest_is_counted_and_the_next_is_whole(void **state) {
    (void)state;
    for (int torn = 0; torn < 2; torn++) {
        double before = dropped();
        struct stat st;
        int fd = begin_file();
        LOG(INFO, "x", LF_INT("i", 0));
        assert_int_equal(0, fstat(fd, &st)); /* how long such a line is */
        limit_files((rlim_t)(3 * st.st_size + torn * st.st_size / 2));
        log_hold(true);
        for (int i = 1; i <= 4; i++) {
            LOG(INFO, "x", LF_INT("i", i));
        }
        log_hold(false);
        limit_files(RLIM_INFINITY);
        LOG(INFO, "x", LF_INT("i", 5));
        end_file(fd);
        assert_true(dropped() - before == 2);
        struct str rest = str_of(got, got_n), line;
        static const int whole[] = {0, 1, 2, 5};
        for (size_t i = 0; i < sizeof whole / sizeof whole[0]; i++) {
            assert_true(str_cut(&rest, '\n', &line));
            if (torn && whole[i] == 5) {
                assert_int_equal(st.st_size / 2, line.n); /* half of 3 */
                assert_true(str_cut(&rest, '\n', &line));
            }
            json_t *o = parse(line);
            assert_int_equal(whole[i], json_integer_value(json_object_get(o, "i")));
            json_decref(o);
        }
        assert_int_equal(0, rest.n);
    }
}

static void test_log__given_more_held_lines_than_there_is_room_then_none_is_lost(void **state) {
    (void)state;
    enum { LINES = 1000 }; /* twice the room */
    double before = dropped();
    int fd = begin_file();
    log_hold(true);
    for (int i = 0; i < LINES; i++) {
        LOG(INFO, "x", LF_INT("i", i), LF_STR("t", str_of("0123456789012345678901234567890123456789", 40)));
    }
    log_hold(false);
    end_file(fd);
    assert_int_equal(LINES, count_whole_lines());
    assert_true(dropped() - before == 0);
}

static void test_log__given_a_full_pipe_and_held_lines_then_each_dropped_one_is_counted(void **state) {
    (void)state;
    enum { LINES = 2000 };
    double before = dropped();
    char text[300];
    memset(text, 'x', sizeof text);
    begin_pipe();
    log_hold(true);
    for (int i = 0; i < LINES; i++) {
        LOG(INFO, "x", LF_INT("i", i), LF_STR("t", str_of(text, (size_t)(i % 300))));
    }
    log_hold(false);
    end_pipe();
    size_t whole = count_whole_lines();
    assert_true(whole > 10 && whole < LINES);
    assert_int_equal(LINES, whole + (size_t)(dropped() - before));
}

static void test_log__given_no_reader_then_nothing_happens(void **state) {
    (void)state;
    double before = dropped();
    begin_pipe();
    (void)close(ends[0]);
    LOG(INFO, "x", LF_INT("i", 1));
    restore_stderr();
    (void)close(ends[1]);
    assert_true(dropped() - before == 1);
}

static void write_one(void *arg) {
    (void)arg;
    LOG(INFO, "x", LF_C("a", "b"), LF_REAL("r", 1.5));
}

static void test_log__given_no_memory_then_lines_are_written_all_the_same(void **state) {
    (void)state;
    begin_pipe();
    torture(write_one, NULL); /* once, to count the allocations: there are none */
    end_pipe();
    assert_int_equal(1, count_whole_lines());
}

int main(void) {
    (void)signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log__given_fields_then_one_json_line_with_fixed_keys_first),
        cmocka_unit_test(test_log__given_a_level_then_lesser_events_are_not_written),
        cmocka_unit_test(test_log__given_hostile_values_then_the_line_stays_one_line_and_valid),
        cmocka_unit_test(test_log__given_a_long_value_then_it_is_cut_between_characters),
        cmocka_unit_test(test_log__given_too_many_fields_then_a_short_valid_line_that_says_so),
        cmocka_unit_test(test_log__given_a_terminal_then_logfmt),
        cmocka_unit_test(test_log__given_a_full_pipe_then_lines_are_dropped_and_counted_and_none_is_torn),
        cmocka_unit_test(test_log__given_a_full_socket_then_lines_are_dropped_and_counted),
        cmocka_unit_test(test_log__given_a_line_written_in_part_then_the_next_is_whole),
        cmocka_unit_test(test_log__given_held_lines_then_they_wait_for_the_flush_or_an_error),
        cmocka_unit_test(test_log__given_held_lines_written_in_part_then_the_rest_is_counted_and_the_next_is_whole),
        cmocka_unit_test(test_log__given_many_held_lines_then_each_write_is_of_whole_lines_and_short),
        cmocka_unit_test(test_log__given_more_held_lines_than_there_is_room_then_none_is_lost),
        cmocka_unit_test(test_log__given_a_full_pipe_and_held_lines_then_each_dropped_one_is_counted),
        cmocka_unit_test(test_log__given_no_reader_then_nothing_happens),
        cmocka_unit_test(test_log__given_no_memory_then_lines_are_written_all_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
