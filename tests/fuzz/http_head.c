/* Request heads: llhttp finds the end and the framing, http_parse_head reads the same bytes by stricter rules. Of an accepted head both
 * must have read the same: whatever two readers tell apart, requests are smuggled through. */
#include "../../base/io/src/http_parse.h"

#include <base/json.h>
#include <base/limits.h>
#include <llhttp.h>

#include "fuzz.h"

enum { TEXT_BYTES = 1024 * 1024 };

/* What llhttp has read, as "target\nname:value\n…", values trimmed. */
struct reading {
    llhttp_t parser;
    struct buf text, value;
    size_t headers_n;
    bool head_seen;
};

static int add(struct buf *to, const char *at, size_t n) {
    buf_add(to, str_of(at, n));
    return 0;
}
static int on_url(llhttp_t *p, const char *at, size_t n) { return add(&((struct reading *)p->data)->text, at, n); }
static int on_name(llhttp_t *p, const char *at, size_t n) {
    struct reading *r = p->data;
    if (r->text.n == 0 || r->text.p[r->text.n - 1] == '\n') {
        r->headers_n++;
    }
    return add(&r->text, at, n);
}
static int on_value(llhttp_t *p, const char *at, size_t n) { return add(&((struct reading *)p->data)->value, at, n); }
static int on_url_end(llhttp_t *p) { return add(&((struct reading *)p->data)->text, "\n", 1); }
static int on_name_end(llhttp_t *p) { return add(&((struct reading *)p->data)->text, ":", 1); }
static int on_value_end(llhttp_t *p) {
    struct reading *r = p->data;
    buf_add(&r->text, str_trim(buf_str(&r->value)));
    buf_clear(&r->value);
    return add(&r->text, "\n", 1);
}
static int on_head(llhttp_t *p) {
    ((struct reading *)p->data)->head_seen = true;
    return HPE_PAUSED;
}
static int on_end(llhttp_t *p) {
    (void)p;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_url = on_url,
    .on_url_complete = on_url_end,
    .on_header_field = on_name,
    .on_header_field_complete = on_name_end,
    .on_header_value = on_value,
    .on_header_value_complete = on_value_end,
    .on_headers_complete = on_head,
    .on_message_complete = on_end,
};

/* Bytes of the head, or 0 when llhttp does not take it; as it arrives, in two pieces. */
static size_t read_head(struct reading *r, struct str in, size_t first) {
    llhttp_init(&r->parser, HTTP_REQUEST, &settings);
    r->parser.data = r;
    buf_init(&r->text, TEXT_BYTES);
    buf_init(&r->value, TEXT_BYTES);
    r->headers_n = 0;
    r->head_seen = false;
    llhttp_errno_t rc = llhttp_execute(&r->parser, in.p, first);
    if (rc == HPE_OK) {
        rc = llhttp_execute(&r->parser, in.p + first, in.n - first);
    }
    return rc == HPE_PAUSED && r->head_seen ? (size_t)(llhttp_get_error_pos(&r->parser) - in.p) : 0;
}

static void forget(struct reading *r) {
    buf_free(&r->text);
    buf_free(&r->value);
}

static bool is_within(struct str part, struct str whole) {
    return part.n == 0 || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n);
}

static void judge_query(struct http_request *req) {
    struct str rest = req->query, name, value;
    while (http_query_next(req, &rest, &name, &value)) {
        PROMISE(name.n + value.n <= req->query.n);
        PROMISE(name.p == NULL || (json_is_utf8(name) && memchr(name.p, '\0', name.n) == NULL));
        PROMISE(value.p == NULL || (json_is_utf8(value) && memchr(value.p, '\0', value.n) == NULL));
    }
}

static void judge_target(struct str head, const struct http_request *req) {
    bool other = str_is(req->method, "CONNECT") || str_is(req->path, "*");
    PROMISE(is_within(req->method, head) && is_within(req->target, head) && is_within(req->query, req->target));
    PROMISE(other || (req->path.n > 0 && req->path.p[0] == '/'));
    PROMISE(memchr(req->target.p, '#', req->target.n) == NULL);
}

static void judge_framing(const struct http_framing *f) {
    PROMISE(!(f->chunked && f->has_length) && !(f->chunked && f->version_1_0));
    PROMISE(f->has_length || f->length == 0);
}

static void judge_headers(struct str head, const struct http_request *req) {
    PROMISE(req->headers_n <= HTTP_HEADERS_MAX);
    for (size_t i = 0; i < req->headers_n; i++) {
        const struct http_header *h = &req->headers[i];
        PROMISE(h->name.n > 0 && is_within(h->name, head) && is_within(h->value, head));
        for (size_t k = 0; k < h->value.n; k++) {
            PROMISE(h->value.p[k] != '\r' && h->value.p[k] != '\n');
        }
        char *name = fuzz_c_string(h->name);
        PROMISE(http_request_header(req, name).p != NULL);
        free(name);
    }
}

static void judge_request(struct str head, struct http_request *req, const struct http_framing *f) {
    judge_target(head, req);
    judge_headers(head, req);
    judge_framing(f);
    judge_query(req);
}

static void judge_agreement(const struct reading *r, const struct http_request *req, const struct http_framing *f) {
    struct buf ours;
    buf_init(&ours, TEXT_BYTES);
    buf_add(&ours, req->target);
    buf_add_char(&ours, '\n');
    for (size_t i = 0; i < req->headers_n; i++) {
        buf_add(&ours, req->headers[i].name);
        buf_add_char(&ours, ':');
        buf_add(&ours, req->headers[i].value);
        buf_add_char(&ours, '\n');
    }
    PROMISE(str_is(req->method, llhttp_method_name((llhttp_method_t)r->parser.method)));
    PROMISE(f->version_1_0 == (r->parser.http_minor == 0));
    PROMISE(r->headers_n == req->headers_n);
    PROMISE(str_eq(buf_str(&ours), buf_str(&r->text)));
    PROMISE(((r->parser.flags & F_CHUNKED) != 0) == f->chunked);
    PROMISE(r->parser.content_length == f->length);
    buf_free(&ours);
}

static void judge(struct str head, const struct reading *r) {
    struct arena arena;
    struct http_framing f;
    arena_init(&arena, 4096, 8 * 1024 * 1024);
    struct http_request req = {.arena = &arena};
    struct http_verdict v = http_parse_head(arena_str(&arena, head), &arena, &req, &f);
    PROMISE(v.status == 0 || ((v.status == 400 || v.status == 431) && v.reason[0] != '\0'));
    if (v.status == 0) {
        struct str copy = {req.method.p, head.n}; /* where the head begins in the arena */
        judge_request(copy, &req, &f);
        if (r != NULL) {
            judge_agreement(r, &req, &f);
        }
    }
    arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct str in = str_of(data, size);
    struct reading whole, split;
    if (size == 0 || size > LIMIT_HTTP_HEAD_BYTES) {
        return 0;
    }
    size_t n = read_head(&whole, in, size);
    PROMISE(n == read_head(&split, in, data[0] % size));
    PROMISE(n == 0 || str_eq(buf_str(&whole.text), buf_str(&split.text)));
    if (memchr(data, '\0', size) == NULL) { /* that llhttp keeps out */
        judge(in, NULL);                    /* the second reading alone */
    }
    if (n > 0) {
        judge(str_of(in.p, n), &whole);
    }
    forget(&whole);
    forget(&split);
    return 0;
}
