#include "outcome.h"

bool outcome_parse(struct str text, struct uuid job, struct job_row *out) {
    struct str outcome, status;
    enum job_outcome known;
    int64_t code;
    if (!str_cut(&text, ' ', &outcome) || !job_outcome_parse(outcome, &known) || !str_cut(&text, ' ', &status) ||
        !str_to_i64(status, &code) || code < 0 || code > 599) {
        return false;
    }
    *out = (struct job_row){.id = job, .root = job, .state = outcome, .status = (int)code, .result = text};
    return true;
}
