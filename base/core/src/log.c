/* A line is built in one static buffer and leaves in one write of at most PIPE_BUF bytes: a pipe takes such a write whole or
 * not at all, so lines of several processes on one pipe never mix and a full pipe costs whole lines.
 * Standard error's own description stays blocking, because other programs share it; a pipe or terminal is opened once more
 * without blocking instead. */
#include <base/json.h>
#include <base/log.h>
#include <base/metrics.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINE_BYTES = PIPE_BUF, TAIL_BYTES = 32, VALUE_BYTES = 1024 };

static struct {
    const char *role;
    enum log_level least;
    int fd;
    bool is_socket, is_terminal;
    bool torn; /* a line went out in part: the next begins with a newline */
} out = {.role = "penstock", .least = LOG_LEVEL_INFO, .fd = STDERR_FILENO};

static const char *const level_names[] = {"debug", "info", "warn", "error"};
_Static_assert(sizeof level_names / sizeof level_names[0] == LOG_LEVEL_ERROR + 1, "one name per level");

void log_setup(const char *role, enum log_level least) {
    struct stat st;
    if (out.fd != STDERR_FILENO) {
        (void)close(out.fd);
    }
    out.role = role;
    out.least = least;
    out.fd = STDERR_FILENO;
    out.is_terminal = isatty(STDERR_FILENO) == 1;
    bool known = fstat(STDERR_FILENO, &st) == 0;
    out.is_socket = known && S_ISSOCK(st.st_mode);
    if (known && (S_ISFIFO(st.st_mode) || out.is_terminal)) {
        int own = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        out.fd = own >= 0 ? own : STDERR_FILENO;
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
    if (out.fd == STDERR_FILENO) { /* could not be opened again: look before writing */
        struct pollfd p = {.fd = out.fd, .events = POLLOUT};
        if (poll(&p, 1, 0) == 0) {
            errno = EAGAIN;
            return -1;
        }
    }
    return write(out.fd, s.p, s.n);
}

static void emit(struct str line) {
    ssize_t n;
    do {
        n = write_some(line);
    } while (n < 0 && errno == EINTR);
    if (n != (ssize_t)line.n) {
        metric_inc(M_LOG_DROPPED, NULL, NULL, NULL);
        out.torn = out.torn || n > 0;
        return;
    }
    out.torn = false;
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
    if (out.is_terminal) {
        buf_addf(b, " %s=", key);
    } else {
        buf_addf(b, ",\"%s\":", key);
    }
}

static void add_text(struct buf *b, const char *key, struct str s) {
    char cleaned[VALUE_BYTES];
    s = clean(s, cleaned);
    add_key(b, key);
    if (out.is_terminal && is_plain(s)) {
        buf_add(b, s);
    } else {
        json_add_string(b, s);
    }
}

static void add_real(struct buf *b, const char *key, double d) {
    add_key(b, key);
    if (isfinite(d)) {
        buf_addf(b, "%.9g", d);
    } else {
        buf_add_c(b, "null");
    }
}

static void add_field(struct buf *b, const struct log_field *f) {
    char text[UUID_TEXT_BYTES];
    switch (f->kind) {
    case LOG_STR:
        add_text(b, f->key, f->s);
        break;
    case LOG_INT:
        add_key(b, f->key);
        buf_addf(b, "%" PRId64, f->i);
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
        add_text(b, f->key, str_c(text));
        break;
    case LOG_TRACE:
        trace_id_text(f->p, text);
        add_text(b, f->key, str_c(text));
        break;
    }
}

static void add_head(struct buf *b, enum log_level level, const char *event) {
    char ts[WALL_TEXT_BYTES];
    wall_text(clock_wall(&clock_system), ts);
    if (out.is_terminal) {
        buf_addf(b, "\nts=%s level=%s", ts, level_names[level]);
    } else {
        buf_addf(b, "\n{\"ts\":\"%s\",\"level\":\"%s\"", ts, level_names[level]);
    }
    add_text(b, "event", str_c(event));
    add_text(b, "role", str_c(out.role));
    add_key(b, "pid");
    buf_addf(b, "%d", (int)getpid());
}

void log_write(enum log_level level, const char *event, const struct log_field *fields, size_t n) {
    static char memory[LINE_BYTES];
    /* Full from the start, so it never grows: writing a line needs no memory. The tail is kept free for the end. */
    struct buf b = {.p = memory, .cap = sizeof memory, .max = sizeof memory - TAIL_BYTES};
    if (level < out.least) {
        return;
    }
    add_head(&b, level, event);
    for (size_t i = 0; i < n && b.failed == ERR_NONE; i++) {
        size_t before = b.n;
        add_field(&b, &fields[i]);
        b.n = b.failed == ERR_NONE ? b.n : before;
    }
    bool truncated = b.failed != ERR_NONE;
    b.failed = ERR_NONE;
    b.max = sizeof memory;
    if (truncated) {
        add_key(&b, "truncated");
        buf_add_c(&b, "true");
    }
    buf_add_c(&b, out.is_terminal ? "\n" : "}\n");
    emit(out.torn ? buf_str(&b) : str_of(b.p + 1, b.n - 1)); /* the first byte is the newline for a torn line */
}
