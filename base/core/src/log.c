/* Lines are built one behind the other in one static buffer and leave in writes of whole lines and at most PIPE_BUF bytes: a pipe
 * takes such a write whole or not at all, so lines of several processes on one pipe never mix and a full pipe costs whole lines.
 * Standard error's own description stays blocking, because other programs share it; a pipe or terminal is opened once more
 * without blocking instead. */
#include <base/json.h>
#include <base/log.h>
#include <base/metrics.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HELD_BYTES = 64 * 1024, LINE_BYTES = PIPE_BUF - 1, TAIL_BYTES = 32, VALUE_BYTES = 1024 };

static struct {
    const char *role;
    enum log_level least;
    pid_t pid;
    int fd;
    bool is_socket, is_terminal;
    bool may_block; /* could not be opened again: look before writing */
    bool torn;      /* a line went out in part: the next begins with a newline */
    bool holds;     /* lines wait for log_flush */
    log_sink *also;
    void *also_arg;
    size_t n;                  /* bytes of lines held */
    char held[1 + HELD_BYTES]; /* a newline, so that before each line is one; the lines */
} out = {.role = "penstock", .least = LOG_LEVEL_INFO, .fd = STDERR_FILENO};

static const char *const level_names[] = {"debug", "info", "warn", "error"};
_Static_assert(sizeof level_names / sizeof level_names[0] == LOG_LEVEL_ERROR + 1, "one name per level");

void log_setup(const char *role, enum log_level least) {
    struct stat st;
    log_flush();
    if (out.fd != STDERR_FILENO) {
        (void)close(out.fd);
    }
    out.role = role;
    out.least = least;
    out.pid = getpid();
    out.fd = STDERR_FILENO;
    out.is_terminal = isatty(STDERR_FILENO) == 1;
    bool known = fstat(STDERR_FILENO, &st) == 0;
    out.is_socket = known && S_ISSOCK(st.st_mode);
    out.may_block = !known || S_ISFIFO(st.st_mode) || out.is_terminal;
    if (known && out.may_block) {
        int own = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        out.fd = own >= 0 ? own : STDERR_FILENO;
        out.may_block = own < 0;
    }
}

bool log_level_parse(struct str s, enum log_level *level) {
    for (unsigned i = 0; i < sizeof level_names / sizeof level_names[0]; i++) {
        if (str_is(s, level_names[i])) {
            *level = (enum log_level)i;
            return true;
        }
    }
    return false;
}

static ssize_t write_some(struct str s) {
    if (out.is_socket) {
        return send(out.fd, s.p, s.n, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    if (out.may_block) {
        struct pollfd p = {.fd = out.fd, .events = POLLOUT};
        if (poll(&p, 1, 0) == 0) {
            errno = EAGAIN;
            return -1;
        }
    }
    return write(out.fd, s.p, s.n);
}

static void count_dropped(struct str lines) {
    struct series *dropped = metric_series(M_LOG_DROPPED, NULL, NULL, NULL);
    for (size_t i = 0; i < lines.n; i++) {
        series_add(dropped, lines.p[i] == '\n' ? 1 : 0);
    }
}

/* Whole lines; before the first of them is a newline. */
static void emit(const char *lines, size_t n) {
    size_t newline = out.torn ? 1 : 0;
    ssize_t done;
    do {
        done = write_some(str_of(lines - newline, newline + n));
    } while (done < 0 && errno == EINTR);
    if (done > 0) {
        size_t written = (size_t)done - newline;
        out.torn = written > 0 && lines[written - 1] != '\n';
        lines += written;
        n -= written;
    }
    if (n > 0) {
        count_dropped(str_of(lines, n));
    }
}

void log_flush(void) {
    out.held[0] = '\n';
    for (size_t at = 0; at < out.n;) {
        const char *lines = out.held + 1 + at;
        size_t n = out.n - at;
        if (n > LINE_BYTES) {
            const char *end = memrchr(lines, '\n', LINE_BYTES);
            n = (size_t)(end - lines) + 1;
        }
        emit(lines, n);
        at += n;
    }
    out.n = 0;
}

void log_hold(bool hold) {
    out.holds = hold;
    if (!hold) {
        log_flush();
    }
}

/* At most VALUE_BYTES of s, cut between characters. DEL and the C1 controls (U+0080 to U+009F), which JSON leaves as they are
 * but terminals obey, become '?'. */
static struct str clean(struct str s, char to[VALUE_BYTES]) {
    if (s.n > VALUE_BYTES) {
        s.n = VALUE_BYTES;
        while (s.n > 0 && (s.p[s.n] & 0xC0) == 0x80) {
            s.n--;
        }
    }
    for (size_t i = 0; i < s.n; i++) {
        bool c1 = i + 1 < s.n && (uint8_t)s.p[i] == 0xC2 && (uint8_t)s.p[i + 1] >= 0x80 && (uint8_t)s.p[i + 1] < 0xA0;
        to[i] = c1 || s.p[i] == 0x7F ? '?' : s.p[i];
        if (c1) {
            to[++i] = '?';
        }
    }
    return str_of(to, s.n);
}

/* Does logfmt need quotes around it? */
static bool is_plain(struct str s) {
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] <= ' ' || s.p[i] == '"' || s.p[i] == '=' || s.p[i] == '\\') { /* bytes from 0x80 on are negative: quoted */
            return false;
        }
    }
    return s.n > 0;
}

static void add_key(struct buf *b, const char *key) {
    buf_add(b, out.is_terminal ? STR(" ") : STR(",\""));
    buf_add_c(b, key);
    buf_add(b, out.is_terminal ? STR("=") : STR("\":"));
}

/* Printable ASCII that JSON takes as it is: nearly every value. */
static bool is_simple(struct str s) {
    bool simple = s.n <= VALUE_BYTES;
    for (size_t i = 0; i < s.n && simple; i++) {
        simple = s.p[i] >= ' ' && s.p[i] <= '~' && s.p[i] != '"' && s.p[i] != '\\';
    }
    return simple;
}

static void add_cleaned(struct buf *b, struct str s) {
    char cleaned[VALUE_BYTES];
    json_add_string(b, clean(s, cleaned));
}

static void add_simple(struct buf *b, struct str s) {
    bool quotes = !out.is_terminal || !is_plain(s);
    buf_add(b, quotes ? STR("\"") : STR(""));
    buf_add(b, s);
    buf_add(b, quotes ? STR("\"") : STR(""));
}

static void add_text(struct buf *b, const char *key, struct str s) {
    add_key(b, key);
    if (is_simple(s)) {
        add_simple(b, s);
    } else {
        add_cleaned(b, s);
    }
}

static void add_int(struct buf *b, const char *key, int64_t v) {
    char room[I64_TEXT_BYTES];
    add_key(b, key);
    buf_add(b, str_from_i64(v, room));
}

/* A number of thousandths, as milliseconds from a clock of microseconds are: by hand, a format takes as long as half of a line. */
static bool add_thousandths(struct buf *b, double d) {
    double thousandths = d * 1000;
    if (!(thousandths >= 0 && thousandths < 1e9) || round(thousandths) / 1000 != d) {
        return false;
    }
    char room[I64_TEXT_BYTES], part[] = {'.', '0', '0', '0'};
    int64_t n = llround(thousandths);
    size_t digits = n % 1000 == 0 ? 0 : n % 100 == 0 ? 2 : n % 10 == 0 ? 3 : 4;
    part[1] = (char)('0' + n / 100 % 10);
    part[2] = (char)('0' + n / 10 % 10);
    part[3] = (char)('0' + n % 10);
    buf_add(b, str_from_i64(n / 1000, room));
    buf_add(b, str_of(part, digits));
    return true;
}

static void add_real(struct buf *b, const char *key, double d) {
    add_key(b, key);
    if (add_thousandths(b, d)) {
        return;
    }
    if (isfinite(d)) {
        buf_addf(b, "%.9g", d);
    } else {
        buf_add_c(b, "null");
    }
}

/* By the names that OpenTelemetry gives them outside of its own protocol. */
static void add_trace(struct buf *b, const struct trace *t) {
    char text[TRACEPARENT_BYTES];
    trace_text(t, text);
    add_key(b, "trace_id");
    add_simple(b, str_of(text + 3, TRACE_ID_HEX_BYTES - 1));
    add_key(b, "span_id");
    add_simple(b, str_of(text + 36, SPAN_ID_HEX_BYTES - 1));
}

static void add_field(struct buf *b, const struct log_field *f) {
    char text[UUID_TEXT_BYTES];
    switch (f->kind) {
    case LOG_STR:
        add_text(b, f->key, f->s);
        break;
    case LOG_INT:
        add_int(b, f->key, f->i);
        break;
    case LOG_REAL:
        add_real(b, f->key, f->d);
        break;
    case LOG_BOOL:
        add_key(b, f->key);
        buf_add_c(b, f->i != 0 ? "true" : "false");
        break;
    case LOG_UUID:
        uuid_text(*(const struct uuid *)f->p, text);
        add_key(b, f->key);
        add_simple(b, str_of(text, UUID_TEXT_BYTES - 1));
        break;
    case LOG_TRACE:
        add_trace(b, f->p);
        break;
    }
}

static void add_head(struct buf *b, enum log_level level, const char *event, struct wall at) {
    char ts[WALL_TEXT_BYTES];
    wall_text(at, ts);
    buf_add(b, out.is_terminal ? STR("ts=") : STR("{\"ts\":\""));
    buf_add_c(b, ts);
    buf_add(b, out.is_terminal ? STR(" level=") : STR("\",\"level\":\""));
    buf_add_c(b, level_names[level]);
    buf_add(b, out.is_terminal ? STR("") : STR("\""));
    add_text(b, "event", str_c(event));
    add_text(b, "role", str_c(out.role));
    add_int(b, "pid", out.pid);
}

/* A line into memory that is there, so that it needs none: the buffer is full from the start and never grows. Its tail is kept free for
 * the end. */
static size_t build(char line[LINE_BYTES], const struct log_record *r) {
    struct buf b = {.p = line, .cap = LINE_BYTES, .max = LINE_BYTES - TAIL_BYTES};
    add_head(&b, r->level, r->event, r->at);
    for (size_t i = 0; i < r->n && b.failed == ERR_NONE; i++) {
        size_t before = b.n;
        add_field(&b, &r->fields[i]);
        b.n = b.failed == ERR_NONE ? b.n : before;
    }
    bool truncated = b.failed != ERR_NONE;
    b.failed = ERR_NONE;
    b.max = LINE_BYTES;
    if (truncated) {
        add_key(&b, "truncated");
        buf_add_c(&b, "true");
    }
    buf_add(&b, out.is_terminal ? STR("\n") : STR("}\n"));
    return b.n;
}

void log_also(log_sink *sink, void *arg) {
    out.also = sink;
    out.also_arg = arg;
}

static const struct trace *trace_of(const struct log_field *fields, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (fields[i].kind == LOG_TRACE) {
            return fields[i].p;
        }
    }
    return NULL;
}

static void tell_also(struct log_record *r) {
    r->trace = trace_of(r->fields, r->n);
    if (r->level >= LOG_LEVEL_WARN || r->trace == NULL || (r->trace->flags & 1) != 0) {
        out.also(out.also_arg, r);
    }
}

void log_write(enum log_level level, const char *event, const struct log_field *fields, size_t n) {
    if (level < out.least) {
        return;
    }
    struct log_record r = {.at = clock_wall(&clock_system), .level = level, .event = event, .fields = fields, .n = n};
    if (HELD_BYTES - out.n < LINE_BYTES) {
        log_flush();
    }
    out.n += build(out.held + 1 + out.n, &r);
    if (!out.holds || level >= LOG_LEVEL_ERROR) {
        log_flush();
    }
    if (out.also != NULL) {
        tell_also(&r);
    }
}
