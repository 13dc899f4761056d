#include "problem.h"

#include <base/json.h>

static const struct {
    const char *code, *title, *hint;
    int status;
    bool retryable;
} problems[PROBLEM_MAX] = {
#define P(id, status, code, retryable, title, hint) [PROBLEM_##id] = {code, title, hint, status, retryable},
#include "problems.def"
#undef P
};

int problem_status(enum problem_id id) { return problems[id].status; }
const char *problem_code(enum problem_id id) { return problems[id].code; }

static void add_type(struct buf *b, const char *code) {
    buf_add(b, STR("{\"type\":\"/problems/"));
    for (const char *c = code; *c != '\0'; c++) {
        buf_add_char(b, *c == '_' ? '-' : *c);
    }
    buf_add_char(b, '"');
}

static void add_member(struct buf *b, const char *name, struct str value) {
    buf_addf(b, ",\"%s\":", name);
    json_add_string(b, value);
}

static void add_errors(struct buf *b, const struct problem *p) {
    buf_add(b, STR(",\"errors\":["));
    for (size_t i = 0; i < p->errors_n; i++) {
        buf_add_c(b, i > 0 ? ",{\"pointer\":" : "{\"pointer\":");
        json_add_string(b, p->errors[i].pointer);
        add_member(b, "detail", p->errors[i].detail);
        buf_add_char(b, '}');
    }
    buf_add_char(b, ']');
}

void problem_write(struct buf *out, const struct problem *p) {
    add_type(out, problems[p->id].code);
    add_member(out, "title", str_c(problems[p->id].title));
    buf_addf(out, ",\"status\":%d,\"code\":\"%s\"", problems[p->id].status, problems[p->id].code);
    add_member(out, "detail", p->detail);
    add_member(out, "hint", p->hint.p != NULL ? p->hint : str_c(problems[p->id].hint));
    if (p->errors_n > 0) {
        add_errors(out, p);
    }
    if (p->trace != NULL) {
        char text[TRACE_ID_HEX_BYTES];
        trace_id_text(p->trace, text);
        add_member(out, "trace_id", str_c(text));
    }
    buf_add_c(out, problems[p->id].retryable ? ",\"retryable\":true" : ",\"retryable\":false");
    if (p->retry_after_s > 0) {
        buf_addf(out, ",\"retry_after_seconds\":%lld", (long long)p->retry_after_s);
    }
    if (p->instance.p != NULL) {
        add_member(out, "instance", p->instance);
    }
    buf_add_char(out, '}');
}

enum problem_id problem_of(enum err_code code) {
    if (code == ERR_NOT_FOUND) {
        return PROBLEM_NOT_FOUND;
    }
    if (code == ERR_BUSY || code == ERR_NOMEM) {
        return PROBLEM_BUSY;
    }
    if (code == ERR_CLOSED) {
        return PROBLEM_DRAINING;
    }
    if (code == ERR_TOO_LARGE) {
        return PROBLEM_TOO_LARGE;
    }
    return err_class(code) == ERR_CLASS_INFRA || err_class(code) == ERR_CLASS_TRANSIENT || err_class(code) == ERR_CLASS_CONFLICT
               ? PROBLEM_UNAVAILABLE
               : PROBLEM_INTERNAL;
}

enum problem_id problem_of_status(int status) {
    switch (status) {
    case 408:
        return PROBLEM_SLOW;
    case 413:
        return PROBLEM_TOO_LARGE;
    case 431:
        return PROBLEM_HEAD_TOO_LARGE;
    case 503:
        return PROBLEM_BUSY;
    case 500:
        return PROBLEM_INTERNAL;
    default:
        return PROBLEM_BAD_REQUEST;
    }
}
