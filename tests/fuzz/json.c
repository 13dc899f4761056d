/* Text to JSON with the project's limits, and back. What is read is within the limits and survives writing and reading again. */
#include <base/json.h>
#include <base/limits.h>
#include <math.h>

#include "fuzz.h"

static void judge(const json_t *v, int depth) {
    const char *name;
    json_t *child;
    size_t i;
    PROMISE(depth <= LIMIT_JSON_DEPTH || (!json_is_object(v) && !json_is_array(v)));
    json_object_foreach((json_t *)(uintptr_t)v, name, child) {
        PROMISE(json_is_utf8(str_c(name)));
        judge(child, depth + 1);
    }
    json_array_foreach(v, i, child) { judge(child, depth + 1); }
    if (json_is_real(v)) {
        double d = json_real_value(v);
        PROMISE(isfinite(d) && (trunc(d) != d || fabs(d) > 0x1p53));
    }
    if (json_is_string(v)) {
        PROMISE(json_is_utf8(str_of(json_string_value(v), json_string_length(v))));
    }
}

static void write_and_read(const json_t *v) {
    struct buf first, second;
    json_t *again = NULL;
    buf_init(&first, 64 * 1024 * 1024);
    buf_init(&second, 64 * 1024 * 1024);
    PROMISE(!err_is_set(json_write(v, &first)));
    PROMISE(!err_is_set(json_read(buf_str(&first), &again)));
    PROMISE(json_equal(v, again));
    PROMISE(!err_is_set(json_write(again, &second)) && str_eq(buf_str(&first), buf_str(&second)));
    json_decref(again);
    buf_free(&first);
    buf_free(&second);
}

/* Any bytes as one string: written with escapes it is JSON, and the same text where it was one. */
static void as_string(struct str bytes) {
    struct buf text;
    json_t *read = NULL;
    json_t *own = json_stringn(bytes.p, bytes.n);
    PROMISE((own != NULL) == json_is_utf8(bytes));
    buf_init(&text, 16 * 1024 * 1024);
    buf_add_char(&text, '[');
    json_add_string(&text, bytes);
    buf_add_char(&text, ']');
    if (memchr(bytes.p, '\0', bytes.n) == NULL) {
        PROMISE(!err_is_set(json_read(buf_str(&text), &read)));
        PROMISE(own == NULL || json_equal(own, json_array_get(read, 0)));
    }
    json_decref(own);
    json_decref(read);
    buf_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct str text = str_of(data, size);
    json_t *v = NULL;
    struct err e = json_read(text, &v);
    if (err_is_set(e)) {
        long line = fuzz_line_of(e.detail, "line ");
        PROMISE(e.code == ERR_INVALID || e.code == ERR_TOO_LARGE);
        PROMISE(line >= 1 && line <= fuzz_lines(text));
        PROMISE(v == NULL);
    } else {
        PROMISE(json_is_object(v) || json_is_array(v));
        judge(v, 1);
        write_and_read(v);
        json_decref(v);
    }
    as_string(text);
    return 0;
}
