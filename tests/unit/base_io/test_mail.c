#include "peer.h"

#include <base/crypto.h>
#include <curl/curl.h>
#include <io/http_client.h>
#include <io/timer.h>

#include <stdio.h>

enum { GUARD_MS = 20000, DEADLINE_MS = 10000, PROMPT_MS = 3000, MAILS_MAX = 16 };

struct outcome {
    struct setup *setup;
    int times;
    struct err err;
    char detail[256];
};

struct setup {
    struct loop *loop;
    struct http_client *client;
    struct timer *guard, *tick;
    int pending, calls, ticks;
    bool sending;
    struct outcome out[MAILS_MAX];
    struct peer peer;
};

static struct setup the;

static void on_guard(void *arg) {
    (void)arg;
    fail_msg("the callback did not come");
}

static void on_tick(void *arg) {
    struct setup *s = arg;
    s->ticks++;
}

static void set_up(struct setup *s) {
    static const struct http_client_options o = {.max_in_flight = 8, .max_waiting = 8};
    memset(s, 0, offsetof(struct setup, peer));
    assert_ok(loop_new(&s->loop));
    assert_ok(timer_new(s->loop, on_guard, s, &s->guard));
    assert_ok(timer_new(s->loop, on_tick, s, &s->tick));
    assert_ok(http_client_new(s->loop, &o, &s->client));
}

static void tear_down(struct setup *s) {
    http_client_close(s->client);
    timer_free(s->guard);
    timer_free(s->tick);
    loop_free(s->loop);
}

static void on_mail(void *arg, struct err err) {
    struct outcome *o = arg;
    assert_false(o->setup->sending);
    o->times++;
    (void)str_copy_c(str_c(err.detail), o->detail, sizeof o->detail);
    o->err = (struct err){err.code, o->detail};
    if (--o->setup->pending == 0) {
        loop_stop(o->setup->loop);
    }
}

static struct http_call *send_mail(struct setup *s, struct mail_spec spec) {
    char url[64];
    struct outcome *o = &s->out[s->calls++];
    *o = (struct outcome){.setup = s};
    s->pending++;
    if (spec.url == NULL) {
        (void)snprintf(url, sizeof url, "smtp://127.0.0.1:%d", s->peer.port);
        spec.url = url;
    }
    s->sending = true;
    struct http_call *call = mail_send(s->client, &spec, on_mail, o);
    s->sending = false;
    assert_non_null(call);
    return call;
}

static struct mail_spec plain(int64_t deadline_ms) {
    return (struct mail_spec){.from = STR("penstock@localhost"),
                              .to = STR("c@example.com"),
                              .subject = STR("An order"),
                              .message_id = STR("0190-1@penstock"),
                              .text = STR("Hello.\n.\nBye\n"),
                              .deadline_ms = deadline_ms};
}

static void run(struct setup *s) {
    timer_start(s->guard, GUARD_MS);
    timer_start_every(s->tick, 10);
    if (s->pending > 0) {
        loop_run(s->loop);
    }
    timer_stop(s->guard);
    timer_stop(s->tick);
    assert_int_equal(0, s->pending);
    for (int i = 0; i < s->calls; i++) {
        assert_int_equal(1, s->out[i].times);
    }
}

#define GREETING \
    {PEER_ACCEPT, NULL}, {PEER_SEND, "220 sink\r\n"}, { PEER_READ, "EHLO " }
#define EHLO \
    GREETING, {PEER_SEND, "250-sink\r\n250 SIZE 10000000\r\n"}, { PEER_READ, "MAIL FROM:<penstock@localhost>" }
#define MAIL \
    EHLO, {PEER_SEND, "250 ok\r\n"}, { PEER_READ, "RCPT TO:<c@example.com>" }
#define RCPT \
    MAIL, {PEER_SEND, "250 ok\r\n"}, { PEER_READ, "DATA\r\n" }
#define DATA \
    RCPT, {PEER_SEND, "354 go\r\n"}, { PEER_READ, "\r\n.\r\n" }
#define ACCEPTED \
    DATA, {PEER_SEND, "250 queued\r\n"}, { PEER_READ, "QUIT\r\n" }

static const char *message(const char *field) {
    char *start = strstr(the.peer.seen, "DATA\r\n");
    return start != NULL ? strstr(start, field) : NULL;
}

static void test_mail__sent_then_the_message_is_whole(void **state) {
    (void)state;
    static const struct peer_step script[] = {ACCEPTED, {PEER_END, NULL}};
    struct buf text;
    set_up(&the);
    peer_start(&the.peer, script);
    (void)send_mail(&the, plain(DEADLINE_MS));
    run(&the);
    peer_join(&the.peer);
    assert_ok(the.out[0].err);
    assert_non_null(message("\r\nFrom: <penstock@localhost>\r\n"));
    assert_non_null(message("\r\nTo: <c@example.com>\r\n"));
    assert_non_null(message("\r\nSubject: An order\r\n"));
    assert_non_null(message("\r\nMessage-ID: <0190-1@penstock>\r\n"));
    assert_non_null(message("\r\nMIME-Version: 1.0\r\n"));
    assert_non_null(message("\r\nContent-Type: text/plain; charset=utf-8\r\n"));
    assert_non_null(message("\r\nDate: "));
    const char *body = message("\r\n\r\n") + 4;
    buf_init(&text, 1000);
    assert_ok(base64_decode(str_of(body, (size_t)(strstr(body, "\r\n.\r\n") - body)), &text));
    assert_str("Hello.\n.\nBye\n", buf_str(&text));
    buf_free(&text);
    tear_down(&the);
}

static void test_mail__long_text_then_lines_stay_short(void **state) {
    (void)state;
    static const struct peer_step script[] = {ACCEPTED, {PEER_END, NULL}};
    static char text[20000];
    memset(text, 'x', sizeof text);
    set_up(&the);
    peer_start(&the.peer, script);
    struct mail_spec spec = plain(DEADLINE_MS);
    spec.text = str_of(text, sizeof text);
    (void)send_mail(&the, spec);
    run(&the);
    peer_join(&the.peer);
    assert_ok(the.out[0].err);
    size_t chars = 0;
    for (const char *line = message("\r\n\r\n") + 4; line[0] != '.'; line = strstr(line, "\r\n") + 2) {
        size_t n = (size_t)(strstr(line, "\r\n") - line);
        assert_true(n <= 76);
        chars += n;
    }
    assert_int_equal((sizeof text + 2) / 3 * 4, chars);
    tear_down(&the);
}

/* Decodes the subject on the wire as a mail reader would, and checks its lines. */
static void assert_subject(const char *want) {
    struct buf got;
    buf_init(&got, 4000);
    const char *at = message("\r\nSubject: ") + 11;
    size_t first = 9;
    for (;;) {
        const char *end = strstr(at, "\r\n");
        assert_true(first + (size_t)(end - at) <= 76);
        assert_memory_equal("=?UTF-8?B?", at, 10);
        assert_memory_equal("?=", end - 2, 2);
        size_t before = got.n;
        assert_ok(base64_decode(str_of(at + 10, (size_t)(end - at) - 12), &got));
        assert_int_not_equal(0x80, (unsigned char)got.p[before] & 0xc0); /* no word begins within a character */
        if (end[2] != ' ') {
            break;
        }
        at = end + 3;
        first = 1;
    }
    assert_str(want, buf_str(&got));
    buf_free(&got);
}

static void test_mail__subject_not_plain_ascii_then_encoded_words(void **state) {
    (void)state;
    static const char *const subjects[] = {
        "Bestellung best\xc3\xa4tigt",
        "\xf0\x9f\x8e\x89\xf0\x9f\x8e\x89\xf0\x9f\x8e\x89\xf0\x9f\x8e\x89\xf0\x9f\x8e\x89\xf0\x9f\x8e\x89\xf0\x9f\x8e\x89\xf0\x9f\x8e\x89\xf0\x9f\x8e\x89\xf0\x9f\x8e\x89"
        "\xf0\x9f\x8e\x89\xf0\x9f\x8e\x89",
        "=?UTF-8?B?QQ==?= as it stands", "a tab\tinside"};
    static const struct peer_step script[] = {ACCEPTED, {PEER_END, NULL}};
    for (size_t i = 0; i < sizeof subjects / sizeof subjects[0]; i++) {
        set_up(&the);
        peer_start(&the.peer, script);
        struct mail_spec spec = plain(DEADLINE_MS);
        spec.subject = str_c(subjects[i]);
        (void)send_mail(&the, spec);
        run(&the);
        peer_join(&the.peer);
        assert_ok(the.out[0].err);
        assert_subject(subjects[i]);
        tear_down(&the);
    }
}

struct answer_case {
    struct peer_step script[16];
    enum err_code want;
};

static void check(const struct answer_case *c, size_t i, int64_t deadline_ms) {
    set_up(&the);
    peer_start(&the.peer, c->script);
    struct mono began = loop_now(the.loop);
    (void)send_mail(&the, plain(deadline_ms));
    run(&the);
    if (the.out[0].err.code != c->want) {
        fail_msg("case %zu: %s: %s", i, err_name(the.out[0].err.code), the.out[0].detail);
    }
    assert_true(mono_ms_since(loop_now(the.loop), began) < PROMPT_MS);
    tear_down(&the);
    peer_stop(&the.peer);
}

/* None of these relays answers QUIT: nothing may wait for that. */
static void test_mail__the_relay_answers_then_its_code_decides_at_once(void **state) {
    (void)state;
    static const struct answer_case cases[] = {
        {{ACCEPTED, {PEER_HANG, NULL}}, ERR_NONE},
        {{{PEER_ACCEPT, NULL}, {PEER_SEND, "421 busy\r\n"}, {PEER_HANG, NULL}}, ERR_TRANSIENT},
        {{{PEER_ACCEPT, NULL}, {PEER_SEND, "554 no\r\n"}, {PEER_HANG, NULL}}, ERR_REFUSED},
        {{EHLO, {PEER_SEND, "550 no\r\n"}, {PEER_HANG, NULL}}, ERR_REFUSED},
        {{EHLO, {PEER_SEND, "451 later\r\n"}, {PEER_HANG, NULL}}, ERR_TRANSIENT},
        {{MAIL, {PEER_SEND, "550-no\r\n550 such user\r\n"}, {PEER_HANG, NULL}}, ERR_REFUSED},
        {{MAIL, {PEER_SEND, "451 later\r\n"}, {PEER_HANG, NULL}}, ERR_TRANSIENT},
        {{MAIL, {PEER_SEND, "451 later\r\n221 bye\r\n"}, {PEER_HANG, NULL}}, ERR_TRANSIENT},
        {{RCPT, {PEER_SEND, "550 no\r\n"}, {PEER_HANG, NULL}}, ERR_REFUSED},
        {{DATA, {PEER_SEND, "554 spam\r\n"}, {PEER_HANG, NULL}}, ERR_REFUSED},
        {{DATA, {PEER_SEND, "452 full\r\n"}, {PEER_HANG, NULL}}, ERR_TRANSIENT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        check(&cases[i], i, DEADLINE_MS);
    }
}

static void test_mail__a_relay_without_ehlo_then_helo(void **state) {
    (void)state;
    static const struct answer_case c = {{GREETING,
                                          {PEER_SEND, "502 what\r\n"},
                                          {PEER_READ, "HELO "},
                                          {PEER_PAUSE, NULL},
                                          {PEER_SEND, "250 sink\r\n"},
                                          {PEER_READ, "MAIL FROM:"},
                                          {PEER_SEND, "250 ok\r\n"},
                                          {PEER_READ, "RCPT TO:"},
                                          {PEER_SEND, "250 ok\r\n"},
                                          {PEER_READ, "DATA\r\n"},
                                          {PEER_SEND, "354 go\r\n"},
                                          {PEER_READ, "\r\n.\r\n"},
                                          {PEER_SEND, "250 ok\r\n"}},
                                         ERR_NONE};
    check(&c, 0, DEADLINE_MS);
}

static void test_mail__the_connection_is_lost_then_data_divides_not_sent_from_unknown(void **state) {
    (void)state;
    static const struct answer_case cases[] = {
        {{{PEER_ACCEPT, NULL}, {PEER_RESET, NULL}}, ERR_NET_NOT_SENT},
        {{GREETING, {PEER_CLOSE, NULL}}, ERR_NET_NOT_SENT},
        {{MAIL, {PEER_RESET, NULL}}, ERR_NET_NOT_SENT},
        {{RCPT, {PEER_CLOSE, NULL}}, ERR_NET_NOT_SENT},
        {{DATA, {PEER_CLOSE, NULL}}, ERR_NET_UNKNOWN},
        {{DATA, {PEER_RESET, NULL}}, ERR_NET_UNKNOWN},
        {{{PEER_ACCEPT, NULL}, {PEER_HANG, NULL}}, ERR_NET_NOT_SENT},
        {{MAIL, {PEER_HANG, NULL}}, ERR_NET_NOT_SENT},
        {{DATA, {PEER_HANG, NULL}}, ERR_NET_UNKNOWN},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        check(&cases[i], i, 300);
    }
}

static void test_mail__a_relay_hangs_then_the_loop_goes_on(void **state) {
    (void)state;
    static const struct peer_step script[] = {DATA, {PEER_HANG, NULL}};
    set_up(&the);
    peer_start(&the.peer, script);
    (void)send_mail(&the, plain(500));
    run(&the);
    assert_int_equal(ERR_NET_UNKNOWN, the.out[0].err.code);
    assert_true(the.ticks >= 20);
    tear_down(&the);
    peer_stop(&the.peer);
}

static void test_mail__refused_then_all_are_not_sent(void **state) {
    (void)state;
    static const struct peer_step nothing[] = {{PEER_END, NULL}};
    set_up(&the);
    peer_start(&the.peer, nothing);
    peer_join(&the.peer);
    for (int i = 0; i < 12; i++) {
        (void)send_mail(&the, plain(DEADLINE_MS));
    }
    run(&the);
    for (int i = 0; i < 12; i++) {
        assert_int_equal(ERR_NET_NOT_SENT, the.out[i].err.code);
    }
    tear_down(&the);
}

static void test_mail__bad_fields_then_invalid_and_nothing_connects(void **state) {
    (void)state;
    static const struct peer_step script[] = {{PEER_ACCEPT, NULL}, {PEER_END, NULL}};
    static const struct str evil[] = {STR("a@b\r\nBcc: x@y"), STR("a@b\nX: y"), STR("a@b\0"),     STR("a@b> SIZE=1"), STR("a@b>"),
                                      STR("a@b,c@d"),         STR(""),          STR("a"),         STR("@b"),          STR("a@"),
                                      STR("a@b@c"),           STR("A <a@b>"),   STR("\xc3\xa4@b")};
    static const struct str lines[] = {STR("x\r\nBcc: y@z"), STR("x\ny"), STR("x\0y")};
    enum { EVIL = sizeof evil / sizeof evil[0], LINES = sizeof lines / sizeof lines[0] };
    set_up(&the);
    peer_start(&the.peer, script);
    for (int i = 0; i < 2 * EVIL + 2 * LINES + 3; i++) {
        struct mail_spec spec = plain(DEADLINE_MS);
        if (i < EVIL) {
            spec.from = evil[i];
        } else if (i < 2 * EVIL) {
            spec.to = evil[i - EVIL];
        } else if (i < 2 * EVIL + LINES) {
            spec.subject = lines[i - 2 * EVIL];
        } else if (i < 2 * EVIL + 2 * LINES) {
            spec.message_id = lines[i - 2 * EVIL - LINES];
        } else {
            spec.url = (const char *[]){"http://127.0.0.1:25", "127.0.0.1:25", ""}[i - 2 * EVIL - 2 * LINES];
        }
        the.calls = 0;
        (void)send_mail(&the, spec);
        run(&the);
        if (the.out[0].err.code != ERR_INVALID) {
            fail_msg("case %d: %s: %s", i, err_name(the.out[0].err.code), the.out[0].detail);
        }
    }
    tear_down(&the);
    peer_stop(&the.peer);
    assert_int_equal(0, the.peer.accepted);
}

static void test_mail__cancelled_or_closed_then_the_callback_comes_once(void **state) {
    (void)state;
    static const struct peer_step script[] = {DATA, {PEER_HANG, NULL}};
    set_up(&the);
    peer_start(&the.peer, script);
    struct http_call *call = send_mail(&the, plain(DEADLINE_MS));
    http_cancel(call);
    run(&the);
    assert_int_equal(ERR_CANCELLED, the.out[0].err.code);
    for (int i = 0; i < 6; i++) { /* more than there are threads */
        (void)send_mail(&the, plain(DEADLINE_MS));
    }
    struct mono began = loop_now(the.loop);
    http_client_close(the.client);
    the.client = NULL;
    assert_true(mono_ms_since(loop_now(the.loop), began) < PROMPT_MS);
    assert_int_equal(0, the.pending);
    for (int i = 1; i < 7; i++) {
        assert_int_equal(ERR_CLOSED, the.out[i].err.code);
    }
    tear_down(&the);
    peer_stop(&the.peer);
}

static void on_any(void *arg, struct err err) {
    struct setup *s = arg;
    assert_true(!err_is_set(err) || torture_is_failing());
    s->pending--;
    loop_stop(s->loop);
}

static void mail_under_torture(void *arg) {
    static const struct peer_step script[] = {ACCEPTED, {PEER_END, NULL}};
    static const struct http_client_options o = {.max_in_flight = 1, .max_waiting = 1};
    struct setup *s = arg;
    char url[64];
    s->client = NULL;
    if (err_is_set(loop_new(&s->loop))) {
        return;
    }
    peer_start(&s->peer, script);
    (void)snprintf(url, sizeof url, "smtp://127.0.0.1:%d", s->peer.port);
    struct mail_spec spec = plain(DEADLINE_MS);
    spec.url = url;
    if (!err_is_set(http_client_new(s->loop, &o, &s->client))) {
        s->pending = 1;
        assert_non_null(mail_send(s->client, &spec, on_any, s));
        while (s->pending > 0) {
            loop_run(s->loop);
        }
    }
    http_client_close(s->client);
    loop_free(s->loop);
    peer_stop(&s->peer);
}

static void test_mail__an_allocation_fails_then_the_callback_comes_all_the_same(void **state) {
    (void)state;
    torture(mail_under_torture, &the);
}

/* libcurl 7.88 forgets the final dot when its socket does not take it at once; so it is kept here. */
static char *dots[512];

static char *curl_strdup(const char *s) {
    static size_t n;
    char *copy = __real_strdup(s);
    if (strcmp(s, ".\r\n") == 0) {
        dots[n++ % (sizeof dots / sizeof dots[0])] = copy;
    }
    return copy;
}

static void test_mail__a_system_call_fails_then_an_error_or_no_difference(void **state) {
    (void)state;
    torture_io(mail_under_torture, &the);
}

int main(void) {
    assert_int_equal(0,
                     curl_global_init_mem(CURL_GLOBAL_DEFAULT, __real_malloc, free, __real_realloc, curl_strdup, __real_calloc));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mail__sent_then_the_message_is_whole),
        cmocka_unit_test(test_mail__long_text_then_lines_stay_short),
        cmocka_unit_test(test_mail__subject_not_plain_ascii_then_encoded_words),
        cmocka_unit_test(test_mail__the_relay_answers_then_its_code_decides_at_once),
        cmocka_unit_test(test_mail__a_relay_without_ehlo_then_helo),
        cmocka_unit_test(test_mail__the_connection_is_lost_then_data_divides_not_sent_from_unknown),
        cmocka_unit_test(test_mail__a_relay_hangs_then_the_loop_goes_on),
        cmocka_unit_test(test_mail__refused_then_all_are_not_sent),
        cmocka_unit_test(test_mail__bad_fields_then_invalid_and_nothing_connects),
        cmocka_unit_test(test_mail__cancelled_or_closed_then_the_callback_comes_once),
        cmocka_unit_test(test_mail__an_allocation_fails_then_the_callback_comes_all_the_same),
        cmocka_unit_test(test_mail__a_system_call_fails_then_an_error_or_no_difference),
    };
    return cmocka_run_group_tests_name("mail", tests, NULL, NULL);
}
