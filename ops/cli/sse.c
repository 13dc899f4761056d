#include "sse.h"

void sse_init(struct sse *s, bool (*on_event)(void *, struct str, struct str), void *arg) {
    *s = (struct sse){.on_event = on_event, .arg = arg};
    buf_init(&s->line, SSE_LINE_BYTES_MAX);
    buf_init(&s->data, SSE_LINE_BYTES_MAX);
}

void sse_begin(struct sse *s) {
    buf_clear(&s->line);
    buf_clear(&s->data);
    s->name[0] = '\0';
}

void sse_free(struct sse *s) {
    buf_free(&s->line);
    buf_free(&s->data);
}

/* An empty line. */
static bool dispatch(struct sse *s) {
    bool more = s->data.n == 0 || s->on_event(s->arg, s->name[0] != '\0' ? str_c(s->name) : STR("message"), buf_str(&s->data));
    buf_clear(&s->data);
    s->name[0] = '\0';
    return more;
}

static bool read_line(struct sse *s, struct str line) {
    struct str name;
    if (line.n > 0 && line.p[line.n - 1] == '\r') {
        line.n--;
    }
    if (!str_cut(&line, ':', &name)) {
        return dispatch(s);
    }
    if (line.n > 0 && line.p[0] == ' ') {
        line = str_of(line.p + 1, line.n - 1);
    }
    if (str_is(name, "event")) {
        (void)str_copy_c(line, s->name, sizeof s->name);
    } else if (str_is(name, "id")) {
        (void)str_copy_c(line, s->id, sizeof s->id);
    } else if (str_is(name, "data")) {
        buf_add_c(&s->data, s->data.n > 0 ? "\n" : "");
        buf_add(&s->data, line);
    }
    return true;
}

bool sse_feed(struct sse *s, struct str part) {
    bool more = true;
    while (more && part.n > 0) {
        const char *end = memchr(part.p, '\n', part.n);
        size_t n = end != NULL ? (size_t)(end - part.p) : part.n;
        buf_add(&s->line, str_of(part.p, n));
        more = s->line.failed == ERR_NONE;
        if (more && end != NULL) {
            more = read_line(s, buf_str(&s->line)) && s->data.failed == ERR_NONE;
            buf_clear(&s->line);
        }
        n += end != NULL;
        part = str_of(part.p + n, part.n - n);
    }
    return more;
}
