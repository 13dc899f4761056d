#include "failure.h"

#include <base/crypto.h>
#include <base/json.h>
#include <queues/envelope.h>

enum { DETAIL_MAX = 120, GROUP_DETAIL_MAX = 96 };

static void add_object(struct buf *b, struct err err, int64_t at_ms, const struct trace *span) {
    struct str detail = str_c(err.detail);
    buf_addf(b, "{\"at_ms\":%lld,\"code\":\"%s\",\"detail\":", (long long)at_ms, err_name(err.code));
    json_add_string(b, str_of(detail.p, detail.n < DETAIL_MAX ? detail.n : DETAIL_MAX));
    if (span != NULL) {
        char id[SPAN_ID_HEX_BYTES];
        hex_encode(span->span_id, sizeof span->span_id, id);
        buf_addf(b, ",\"span_id\":\"%s\"", id);
    }
    buf_add_char(b, '}');
}

/* The old errors from first on, and the new one. False: too much, or no memory. */
static bool write_list(struct buf *b, const json_t *old, size_t first, struct err err, int64_t at_ms, const struct trace *span) {
    struct err e = OK;
    buf_clear(b);
    buf_add_char(b, '[');
    for (size_t i = first; i < json_array_size(old) && !err_is_set(e); i++) {
        e = json_write(json_array_get(old, i), b);
        buf_add_char(b, ',');
    }
    add_object(b, err, at_ms, span);
    buf_add_char(b, ']');
    return !err_is_set(e) && !err_is_set(buf_status(b));
}

struct str failure_add(struct arena *a, struct str errors, struct err err, int64_t at_ms, const struct trace *span) {
    struct buf b;
    json_t *old;
    if (err_is_set(json_read(errors, &old))) {
        old = NULL;
    }
    size_t n = json_array_size(old), first = n < LIMIT_ERRORS_KEPT ? 0 : n + 1 - LIMIT_ERRORS_KEPT;
    buf_init(&b, ENVELOPE_ERRORS_MAX);
    bool fits = write_list(&b, old, first, err, at_ms, span);
    while (!fits && first < n) {
        fits = write_list(&b, old, ++first, err, at_ms, span);
    }
    struct str out = fits ? arena_str(a, buf_str(&b)) : STR_NONE;
    buf_free(&b);
    json_decref(old);
    return out;
}

size_t failure_spans(struct str errors, const struct trace *trace, struct trace out[LIMIT_ERRORS_KEPT]) {
    json_t *list;
    size_t n = 0;
    if (errors.n == 0 || err_is_set(json_read(errors, &list))) {
        return 0;
    }
    for (size_t i = 0; i < json_array_size(list) && n < LIMIT_ERRORS_KEPT; i++) {
        out[n] = *trace;
        n += hex_decode(json_opt_str(json_array_get(list, i), "span_id", STR("")), out[n].span_id, sizeof out[n].span_id);
    }
    json_decref(list);
    return n;
}

static char fold(char c) {
    if (c >= '0' && c <= '9') {
        return '#';
    }
    return c < ' ' || c > '~' || c == '"' || c == '\\' ? ' ' : c;
}

struct str failure_group(struct arena *a, struct str type, struct err err) {
    char folded[GROUP_DETAIL_MAX];
    size_t n = 0;
    for (const char *c = err.detail; *c != '\0' && n < sizeof folded; c++) {
        folded[n] = fold(*c);
        n += n == 0 || folded[n] != '#' || folded[n - 1] != '#'; /* a number is one # */
    }
    return arena_printf(a, "%.*s: %s: %.*s", STR_ARG(type), err_name(err.code), (int)n, folded);
}
