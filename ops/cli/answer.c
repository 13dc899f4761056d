#include "answer.h"

#include <stdlib.h>

#include "exits.h"

/* A line stays one whatever the other side wrote. */
static void add_line(struct buf *out, struct str text) {
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        bool c1 = c == 0xc2 && i + 1 < text.n && (unsigned char)text.p[i + 1] < 0xa0;
        buf_add_char(out, c < ' ' || c == 0x7f || c1 ? ' ' : text.p[i]);
        i += c1;
    }
}

bool answer_add_problem(const json_t *problem, struct buf *out) {
    struct str title = json_opt_str(problem, "title", STR(""));
    struct str detail = json_opt_str(problem, "detail", STR(""));
    struct str hint = json_opt_str(problem, "hint", STR(""));
    if (title.n == 0) {
        return false;
    }
    add_line(out, title);
    if (detail.n > 0) {
        buf_add_c(out, ": ");
        add_line(out, detail);
    }
    if (hint.n > 0) {
        buf_add_c(out, "; ");
        add_line(out, hint);
    }
    return true;
}

static int judge_problem(int status, const json_t *json, struct buf *why) {
    int code = exit_of_status(status);
    int64_t after_s = json_opt_i64(json, "retry_after_seconds", 0);
    struct str trace = json_opt_str(json, "trace_id", STR(""));
    if (after_s > 0) {
        buf_addf(why, " (Retry-After: %lld s)", (long long)after_s);
    }
    if (status >= 500 && trace.n > 0) {
        buf_add_c(why, " (trace ");
        add_line(why, trace);
        buf_add_char(why, ')');
    }
    return json_opt_bool(json, "retryable", false) ? EXIT_AGAIN : code;
}

int answer_judge(int status, const json_t *json, struct buf *why) {
    if (status >= 200 && status < 300 && json != NULL) {
        return EXIT_SUCCESS;
    }
    if (status >= 400 && answer_add_problem(json, why)) {
        return judge_problem(status, json, why);
    }
    buf_addf(why, "the answer, %d, is not that of a Penstock API; is PENSTOCK_URL right?", status);
    int code = status >= 400 ? exit_of_status(status) : EXIT_PROTOCOL;
    return code == EXIT_AGAIN || code == EXIT_DENIED ? code : EXIT_PROTOCOL; /* those mean the same from a proxy */
}

/* What killed a job is the word of its last error; a refusal and the like is a problem. */
static void add_end(struct buf *why, struct str state, const json_t *result) {
    struct str error = json_opt_str(result, "error", STR(""));
    buf_addf(why, "the job is %.*s", STR_ARG(state));
    size_t before = why->n;
    buf_add_c(why, ": ");
    if (error.n > 0) {
        add_line(why, error);
    } else if (!answer_add_problem(result, why)) {
        why->n = before;
    }
}

bool answer_job_end(const json_t *job, struct job_end *out, struct buf *why) {
    struct str state = json_opt_str(job, "state", STR(""));
    int64_t status = json_opt_i64(job, "status", 200);
    struct job_end end = {EXIT_SUCCESS, json_opt_bool(job, "tracked", true)};
    bool done = str_is(state, "done") || (state.n == 0 && !end.kept);
    if (!done && !str_is(state, "dead") && !str_is(state, "cancelled") && !str_is(state, "expired")) {
        return false;
    }
    if (!done || status >= 400) {
        end.code = EXIT_FAILED;
        add_end(why, state, json_object_get(job, "result"));
    }
    *out = end;
    return true;
}
