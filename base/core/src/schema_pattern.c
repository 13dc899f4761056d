/* Patterns: PCRE2, set to read as ECMA-262 (what JSON Schema names) reads: not anchored, \d and \w ASCII, $ only at the very
 * end, "." not across CR or LF, \u0041 and \u{41}. PCRE2's own extensions are not refused. What a match costs is taken from
 * the steps of the check, item by item of the pattern (automatic callouts): PCRE2's own match limit counts backtracking but
 * not the scanning between, and each match anew. Without verdict for want of steps or memory the value is refused. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>

#include "schema_private.h"

enum {
    MATCH_HEAP_KIB = 4 * 1024, /* for backtracking: some 10,000 rounds of a repeated group; kept with the pattern */
    SCAN_BYTES_PER_STEP = 16,
};

struct schema_pattern {
    pcre2_code *code;
    pcre2_match_data *data;
    pcre2_match_context *context;
    struct schema_pattern *next;
};

static void pattern_free(struct schema_pattern *p) {
    pcre2_match_context_free(p->context);
    pcre2_match_data_free(p->data);
    pcre2_code_free(p->code);
    free(p);
}

void schema_pattern_free_all(struct schema_pattern *p) {
    while (p != NULL) {
        struct schema_pattern *next = p->next;
        pattern_free(p);
        p = next;
    }
}

static struct err compile_error(int code, size_t at) {
    if (code == PCRE2_ERROR_HEAP_FAILED) {
        return err_make(ERR_NOMEM, "out of memory");
    }
    PCRE2_UCHAR text[120] = "";
    (void)pcre2_get_error_message(code, text, sizeof text);
    return err_make(ERR_INVALID, "character %zu: %s", at + 1, (const char *)text);
}

static struct err compile_code(struct str text, pcre2_code **out) {
    const uint32_t options = PCRE2_UTF | PCRE2_DOLLAR_ENDONLY | PCRE2_ALT_BSUX | PCRE2_MATCH_UNSET_BACKREF |
                             PCRE2_ALLOW_EMPTY_CLASS | PCRE2_NEVER_BACKSLASH_C | PCRE2_AUTO_CALLOUT;
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    if (context == NULL) {
        return err_make(ERR_NOMEM, "out of memory");
    }
    (void)pcre2_set_newline(context, PCRE2_NEWLINE_ANYCRLF);
    (void)pcre2_set_compile_extra_options(context, PCRE2_EXTRA_ALT_BSUX);
    int code;
    size_t at;
    pcre2_code *compiled = pcre2_compile((PCRE2_SPTR)text.p, text.n, options, &code, &at, context);
    pcre2_compile_context_free(context);
    if (compiled == NULL) {
        return compile_error(code, at);
    }
    *out = compiled;
    return OK;
}

struct err schema_pattern_compile(struct schema *s, struct str text, const struct schema_pattern **out) {
    struct schema_pattern *p = calloc(1, sizeof *p);
    if (p == NULL) {
        return err_make(ERR_NOMEM, "out of memory");
    }
    struct err e = compile_code(text, &p->code);
    if (!err_is_set(e)) {
        p->data = pcre2_match_data_create(1, NULL);
        p->context = pcre2_match_context_create(NULL);
        e = p->data == NULL || p->context == NULL ? err_make(ERR_NOMEM, "out of memory") : OK;
    }
    if (err_is_set(e)) {
        pattern_free(p);
        return e;
    }
    (void)pcre2_set_heap_limit(p->context, MATCH_HEAP_KIB);
    p->next = s->patterns;
    s->patterns = p;
    *out = p;
    return OK;
}

struct meter {
    struct schema_checker *c;
    size_t at; /* where in the string the last item was */
};

static int on_item(pcre2_callout_block *b, void *arg) {
    struct meter *m = arg;
    size_t scanned = b->current_position > m->at ? b->current_position - m->at : m->at - b->current_position;
    m->at = b->current_position;
    return schema_spend(m->c, 1 + scanned / SCAN_BYTES_PER_STEP) ? 0 : PCRE2_ERROR_CALLOUT;
}

bool schema_pattern_matches(struct schema_checker *c, const struct schema_pattern *p, struct str s) {
    struct meter meter = {c, 0};
    (void)pcre2_set_callout(p->context, on_item, &meter);
    int found = pcre2_match(p->code, (PCRE2_SPTR)s.p, s.n, 0, 0, p->data, p->context);
    if (found < 0 && found != PCRE2_ERROR_NOMATCH) {
        return schema_give_up(c, SCHEMA_TOO_COSTLY);
    }
    return found >= 0;
}
