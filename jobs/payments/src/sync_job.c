/* payment.sync: asks about one operation until it is decided. It sends nothing: what did not reach the provider is the business
 * of the job it belongs to, and is canceled here when that job is over. */
#include "payments_private.h"

#include <base/json.h>
#include <jobs/refusal.h>

static void commit(struct attempt *a, int status, struct str result) {
    if (result.p == NULL) {
        attempt_fail(a, err_make(ERR_NOMEM, "result"));
        return;
    }
    const struct attempt_effect e = {.stmt = &payments_sql.close, .outcome = OUTCOME_DONE, .status = status, .result = result};
    attempt_commit(a, &e);
}

static void on_run(void *arg, struct err err, const struct op_end *end) {
    struct attempt *a = arg;
    if (err.code == ERR_NOT_FOUND) {
        commit(a, 404, refusal_json(a->arena, &(struct refusal){404, "operation_not_found", "No such operation", STR(""), NULL}));
    } else if (err_is_set(err)) {
        op_attempt_failed(a, err);
    } else if (end->standing == OP_PENDING) {
        attempt_later(a, end->delay_ms, err_make(ERR_NET_UNKNOWN, "the provider's answer is not known yet"));
    } else {
        char id[UUID_TEXT_BYTES];
        uuid_text(end->row->id, id);
        commit(a, 200, arena_printf(a->arena, "{\"op_id\":\"%s\",\"state\":\"%s\"}", id, op_state_name(end->row->state)));
    }
}

void job_sync_start(struct attempt *a) {
    json_t *payload;
    struct str text;
    struct op_goal goal = {.generation = GENERATION_ANY, .ask_only = true, .give_up = a->give_up};
    if (!attempt_parse(a, &payload)) {
        return;
    }
    struct err e = json_get_str(payload, "op_id", &text);
    if (!err_is_set(e) && !uuid_parse(text, &goal.id)) {
        e = err_make(ERR_INVALID, "op_id is no UUID");
    }
    json_decref(payload);
    if (err_is_set(e)) {
        attempt_fail(a, e);
        return;
    }
    op_run(a->env->state, &goal, on_run, a);
}
