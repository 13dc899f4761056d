/* Text to tree. jansson does the parsing of what is not plain; around it stands what it lacks: a depth limit before its recursion, numbers
 * normalised, and safety when memory runs out. jansson 2.14 ignores a failed growth of its token buffer: it then reads past
 * that buffer or aborts on an assertion. So its allocations go through guard_malloc, which answers the first failure of a
 * read from a block set aside beforehand; from then on the input has ended, and whatever comes out is thrown away. */
#include "json_private.h"

#include <base/json.h>
#include <base/limits.h>

#include <math.h>
#include <stdlib.h>

enum { TOKEN_BUFFER_BYTES = 16 }; /* jansson's first token buffer; it doubles */

static json_malloc_t guarded_malloc;
static json_free_t guarded_free;

static _Thread_local struct {
    void *reserve; /* NULL outside a read */
    size_t size;
    bool failed; /* an allocation of this read failed */
} guard;

static void *guard_malloc(size_t n) {
    if (guard.reserve == NULL) {
        return guarded_malloc(n);
    }
    if (guard.failed) {
        return NULL;
    }
    void *p = guarded_malloc(n);
    if (p == NULL) {
        guard.failed = true;
        p = n <= guard.size ? guard.reserve : NULL;
    }
    return p;
}

static void guard_free(void *p) {
    if (p != guard.reserve) {
        guarded_free(p);
    }
}

void json_guard_install(void) {
    json_malloc_t current_malloc;
    json_free_t current_free;
    json_get_alloc_funcs(&current_malloc, &current_free);
    if (current_malloc != guard_malloc) {
        guarded_malloc = current_malloc;
        guarded_free = current_free;
        json_set_alloc_funcs(guard_malloc, guard_free);
    }
}

struct place {
    int line, column;
};

static struct place place_of(struct str text, size_t at) {
    struct place p = {1, 1};
    for (size_t i = 0; i < at; i++) {
        if (text.p[i] == '\n') {
            p = (struct place){p.line + 1, 1};
        } else if (((unsigned char)text.p[i] & 0xC0) != 0x80) {
            p.column++;
        }
    }
    return p;
}

/* Index after the string whose opening quote is text.p[at]; text.n when it does not end. */
static size_t skip_string(struct str text, size_t at) {
    for (size_t i = at + 1; i < text.n; i++) {
        if (text.p[i] == '"') {
            return i + 1;
        }
        if (text.p[i] == '\\') {
            i++;
        }
    }
    return text.n;
}

static bool ends_token(char c) {
    static const bool ends[256] = {['"'] = true, ['{'] = true, ['}'] = true,  ['['] = true,  [']'] = true, [':'] = true,
                                   [','] = true, [' '] = true, ['\t'] = true, ['\n'] = true, ['\r'] = true};
    return ends[(unsigned char)c];
}

/* Refuses what is too deep before jansson recurses into it, and measures the longest token (or more). */
static struct err scan(struct str text, size_t *out_longest) {
    size_t longest = 0;
    size_t start = 0; /* of the current token */
    int depth = 0;
    for (size_t i = 0; i < text.n;) {
        char c = text.p[i];
        size_t next = c == '"' ? skip_string(text, i) : i + 1;
        if (c == '{' || c == '[') {
            depth++;
        } else if (c == '}' || c == ']') {
            depth--;
        }
        if (depth > LIMIT_JSON_DEPTH) {
            struct place p = place_of(text, i);
            return err_make(ERR_TOO_LARGE, "line %d, column %d: nested too deep; at most %d levels", p.line, p.column,
                            LIMIT_JSON_DEPTH);
        }
        if (ends_token(c)) {
            longest = next - start > longest ? next - start : longest;
            start = next;
        }
        i = next;
    }
    *out_longest = text.n - start > longest ? text.n - start : longest;
    return OK;
}

static struct err refuse_nul(struct str text) {
    const char *nul = text.n > 0 ? memchr(text.p, '\0', text.n) : NULL;
    if (nul == NULL) {
        return OK;
    }
    struct place p = place_of(text, (size_t)(nul - text.p));
    return err_make(ERR_INVALID, "line %d, column %d: NUL byte; send one JSON object", p.line, p.column);
}

/* One byte at a time, so that the input ends at once when the guard has failed. */
static size_t next_byte(void *to, size_t size, void *arg) {
    (void)size;
    struct str *rest = arg;
    if (rest->n == 0 || guard.failed) {
        return 0;
    }
    *(char *)to = *rest->p;
    *rest = (struct str){rest->p + 1, rest->n - 1};
    return 1;
}

/* NULL: out of memory or *out_error. */
static json_t *parse(struct str text, size_t longest_token, json_error_t *out_error, bool *out_failed) {
    guard.size = 2 * longest_token + 2 * TOKEN_BUFFER_BYTES;
    guard.reserve = malloc(guard.size);
    guard.failed = guard.reserve == NULL;
    json_t *root = guard.failed ? NULL : json_load_callback(next_byte, &text, JSON_REJECT_DUPLICATES, out_error);
    if (guard.failed) {
        json_decref(root); /* it may hold the reserve, and numbers cut short */
        root = NULL;
    }
    *out_failed = guard.failed;
    free(guard.reserve);
    guard.reserve = NULL;
    guard.failed = false;
    return root;
}

static struct err parse_error(const json_error_t *e) {
    enum json_error_code code = json_error_code(e);
    bool nul = code == json_error_null_character || code == json_error_null_byte_in_key;
    const char *advice = nul                                   ? "leave it out"
                         : code == json_error_duplicate_key    ? "name each member once"
                         : code == json_error_numeric_overflow ? "integers must fit 64 bits, other numbers a double"
                         : code == json_error_invalid_utf8     ? "send UTF-8"
                                                               : "send one JSON object";
    return err_make(ERR_INVALID, "line %d, column %d: %s; %s", e->line, e->column, nul ? "\\u0000 in a string" : e->text, advice);
}

static struct err normalise(json_t *v);

static bool is_integral(const json_t *v) {
    double d = json_real_value(v); /* 0 when it is no real */
    return json_is_real(v) && fabs(d) <= (double)((int64_t)1 << 53) && trunc(d) == d;
}

static json_t *integer_of(const json_t *real) { return json_integer((json_int_t)json_real_value(real)); }

static struct err normalise_object(json_t *v) {
    for (void *at = json_object_iter(v); at != NULL; at = json_object_iter_next(v, at)) {
        json_t *member = json_object_iter_value(at);
        if (!is_integral(member)) {
            TRY(normalise(member));
        } else if (json_object_iter_set_new(v, at, integer_of(member)) != 0) {
            return err_make(ERR_NOMEM, "out of memory");
        }
    }
    return OK;
}

static struct err normalise_array(json_t *v) {
    for (size_t i = 0; i < json_array_size(v); i++) {
        json_t *item = json_array_get(v, i);
        if (!is_integral(item)) {
            TRY(normalise(item));
        } else if (json_array_set_new(v, i, integer_of(item)) != 0) {
            return err_make(ERR_NOMEM, "out of memory");
        }
    }
    return OK;
}

static struct err normalise(json_t *v) {
    return json_is_object(v) ? normalise_object(v) : json_is_array(v) ? normalise_array(v) : OK;
}

struct err json_read(struct str text, json_t **out) {
    size_t longest_token;
    json_guard_install();
    json_t *plain = json_read_plain(text);
    if (plain != NULL) {
        *out = plain;
        return OK;
    }
    TRY(refuse_nul(text));
    TRY(scan(text, &longest_token));
    json_error_t error;
    bool failed;
    json_t *root = parse(text, longest_token, &error, &failed);
    if (failed) {
        return err_make(ERR_NOMEM, "out of memory");
    }
    if (root == NULL) {
        return parse_error(&error);
    }
    struct err e = normalise(root);
    if (err_is_set(e)) {
        json_decref(root);
        return e;
    }
    *out = root;
    return OK;
}
