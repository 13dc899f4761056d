/* What an answer of the API means to the command: an exit code and, for a failure, one line. Pure. */
#ifndef OPS_CLI_ANSWER_H
#define OPS_CLI_ANSWER_H

#include <base/json.h>

/* The exit code of an answer. For a failure why gets its line: title, detail and hint of the problem+json; json is NULL when the
 * body is none. */
int answer_judge(int status, const json_t *json, struct buf *why);

/* "title: detail; hint" of a problem, on one line. False, and nothing, when it has no title. */
bool answer_add_problem(const json_t *problem, struct buf *out);

/* How a job ended: false until it has; code is 0 when it is done and its result is no refusal (status below 400), else
 * EXIT_FAILED and why says so. A job whose outcome is not kept counts as done; kept says so. */
struct job_end {
    int code;
    bool kept;
};
bool answer_job_end(const json_t *job, struct job_end *out, struct buf *why);

#endif
