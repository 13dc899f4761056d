/* payment.capture, payment.void, payment.refund: open the operation under the key <root>:<kind>, bring it to a decision, commit
 * what came of it as the job's effect. */
#include "payments_private.h"

#include <base/json.h>
#include <jobs/refusal.h>
#include <stdio.h>
#include <stdlib.h>

enum { OPEN_ROUNDS_MAX = 5, AGAIN_MS = 200, DOUBT_AGAIN_MS = 1000, ALLOWED_BYTES = 64 };

struct op_job {
    struct attempt *a;
    struct payments *m;
    struct open_spec open;
    bool opened; /* seen: it has an operation */
    int rounds;
};

void op_attempt_failed(struct attempt *a, struct err e) {
    bool nothing_left = e.code == ERR_NET_NOT_SENT || e.code == ERR_TRANSIENT; /* op_run.h: recorded as errored */
    if (nothing_left || err_class(e.code) == ERR_CLASS_INFRA) {
        attempt_fail(a, e);
    } else {
        attempt_later(a, DOUBT_AGAIN_MS, e);
    }
}

static void commit(struct op_job *j, enum job_outcome outcome, int status, struct str result) {
    if (result.p == NULL) {
        attempt_fail(j->a, err_make(ERR_NOMEM, "result"));
        return;
    }
    char payment[PG_UUID_BYTES];
    const struct pg_value of = pg_uuid(j->open.payment, payment);
    const struct attempt_effect e = {
        .stmt = j->opened ? &payments_sql.close : &payments_stmt_close_unopened, /* another runner may be opening it */
        .values = &of,
        .values_n = j->opened ? 0 : 1,
        .outcome = outcome,
        .status = status,
        .result = result,
        .order = payment_lock_order(j->open.payment),
    };
    attempt_commit(j->a, &e);
}

static void refuse(struct op_job *j, enum job_outcome outcome, const struct refusal *r) {
    commit(j, outcome, r->status, refusal_json(j->a->arena, r));
}

/* --- refusals before anything was opened --- */

static void refuse_cancelled(struct op_job *j) {
    refuse(j, OUTCOME_CANCELLED, &(struct refusal){409, "cancelled", "Cancelled before it reached the provider", STR(""), NULL});
}

static void refuse_expired(struct op_job *j) {
    refuse(j, OUTCOME_EXPIRED,
           &(struct refusal){410, "expired", "Expired", STR("its deadline passed before it was begun"), NULL});
}

static void allowed_list(const struct payment_sums *p, char out[ALLOWED_BYTES]) {
    int n = snprintf(out, ALLOWED_BYTES, ",\"allowed\":[");
    const char *comma = "";
    for (enum op_kind k = OP_CAPTURE; k < OP_KIND_MAX; k++) {
        if (payment_allows(p, k)) {
            n += snprintf(out + n, (size_t)(ALLOWED_BYTES - n), "%s\"%s\"", comma, op_kind_name(k));
            comma = ",";
        }
    }
    (void)snprintf(out + n, (size_t)(ALLOWED_BYTES - n), "]");
}

static void refuse_illegal(struct op_job *j, const struct payment_sums *p) {
    char allowed[ALLOWED_BYTES];
    allowed_list(p, allowed);
    struct str detail =
        arena_printf(j->a->arena, "the payment is %.*s; that allows no %s", STR_ARG(p->status), op_kind_name(j->open.want.kind));
    refuse(j, OUTCOME_DONE, &(struct refusal){409, "illegal_state", "The payment's state does not allow this", detail, allowed});
}

static void refuse_amount(struct op_job *j, const struct payment_sums *p) {
    struct str detail = arena_printf(j->a->arena, "at most %lld can still be taken by a %s",
                                     (long long)payment_left(p, j->open.want.kind), op_kind_name(j->open.want.kind));
    refuse(j, OUTCOME_DONE, &(struct refusal){422, "amount_too_large", "The amount is more than what is left", detail, NULL});
}

static void refuse_stale(struct op_job *j, int64_t version) {
    struct str detail = arena_printf(j->a->arena, "the payment is at version %lld", (long long)version);
    refuse(j, OUTCOME_DONE, &(struct refusal){412, "stale_version", "The payment has changed since", detail, NULL});
}

/* --- the flow --- */

static void open_job_op(struct op_job *j);

static void on_peeked(void *arg, struct err err, const PGresult *res) {
    struct op_job *j = arg;
    if (err_is_set(err)) {
        attempt_fail(j->a, err);
        return;
    }
    if (pg_col_bool(res, 0, SUM_COL_OVER)) {
        refuse_cancelled(j);
        return;
    }
    struct payment_sums sums = payment_sums_read(res);
    int64_t version = pg_col_int(res, 0, SUM_COL_VERSION);
    switch (op_open_judge(!pg_col_null(res, 0, SUM_COL_ID), &sums, version, &j->open.want)) {
    case OPEN_NOT_FOUND:
        refuse(j, OUTCOME_DONE, &(struct refusal){404, "payment_not_found", "No such payment", STR(""), NULL});
        break;
    case OPEN_STALE:
        refuse_stale(j, version);
        break;
    case OPEN_ILLEGAL:
        refuse_illegal(j, &sums);
        break;
    case OPEN_TOO_MUCH:
        refuse_amount(j, &sums);
        break;
    case OPEN_AGAIN:
        open_job_op(j);
        break;
    }
}

static void peek(struct op_job *j) {
    char payment[PG_UUID_BYTES], root[PG_UUID_BYTES], generation[PG_INT_BYTES];
    const struct pg_value values[] = {pg_uuid(j->open.payment, payment), pg_text(j->open.tenant), pg_uuid(j->open.root, root),
                                      pg_int(j->open.generation, generation)};
    pg_exec(j->m->env->db, &payments_stmt_peek, values, PG_SHARED, payment_lock_order(j->open.payment), on_peeked, j);
}

static struct str refund_json(struct op_job *j, const struct op_row *o) {
    char refund[UUID_TEXT_BYTES], payment[UUID_TEXT_BYTES];
    uuid_text(o->id, refund);
    uuid_text(o->payment_id, payment);
    return arena_printf(
        j->a->arena,
        "{\"refund_id\":\"%s\",\"payment_id\":\"%s\",\"status\":\"succeeded\",\"amount_minor\":%lld,\"version\":%lld}", refund,
        payment, (long long)o->amount, (long long)o->payment_version);
}

static void commit_decided(struct op_job *j, const struct op_row *o) {
    j->opened = true;
    bool doubted = o->state == OP_SUCCEEDED && o->code.n > 0;
    if (o->state == OP_DECLINED) {
        struct str detail = arena_printf(j->a->arena, "the provider declined: %.*s", STR_ARG(o->code));
        refuse(j, OUTCOME_DONE, &(struct refusal){402, "payment_declined", "The provider declined", detail, NULL});
    } else if (o->must_not_send && !doubted && o->state != OP_SUCCEEDED) { /* by whom and how, the effect says if it is there */
        refuse_cancelled(j);
    } else if (doubted || (o->state == OP_CANCELED && o->frozen)) {
        refuse(j, OUTCOME_DONE,
               &(struct refusal){409, "payment_frozen", "The provider's books do not fit ours; a person has to decide", STR(""),
                                 ",\"allowed\":[]"});
    } else if (o->state == OP_CANCELED) {
        refuse(j, OUTCOME_DONE,
               &(struct refusal){409, "operation_canceled", "The payment was released before this was done", STR(""), NULL});
    } else if (o->kind == OP_REFUND) {
        commit(j, OUTCOME_DONE, 201, refund_json(j, o));
    } else {
        commit(j, OUTCOME_DONE, 200, o->view);
    }
}

static void on_run(void *arg, struct err err, const struct op_end *end) {
    struct op_job *j = arg;
    if (err.code == ERR_NOT_FOUND && attempt_is_late(j->a)) {
        refuse_expired(j);
    } else if (err.code == ERR_NOT_FOUND) {
        peek(j);
    } else if (err_is_set(err)) {
        op_attempt_failed(j->a, err);
    } else if (end->standing == OP_PENDING) {
        attempt_later(j->a, end->delay_ms, err_make(ERR_NET_UNKNOWN, "the provider's answer is not known yet"));
    } else {
        commit_decided(j, end->row);
    }
}

static void run(struct op_job *j) {
    const struct op_goal goal = {.key = j->open.key, .generation = j->open.generation, .give_up = j->a->give_up};
    op_run(j->m, &goal, on_run, j);
}

static void on_opened(void *arg, struct err err, const PGresult *res) {
    struct op_job *j = arg;
    (void)res; /* opened, or known, or refused: the next step looks */
    if (err_is_set(err) && err.code != ERR_PG_UNIQUE) {
        attempt_fail(j->a, err);
        return;
    }
    run(j);
}

static void open_job_op(struct op_job *j) {
    if (j->rounds++ == OPEN_ROUNDS_MAX) {
        attempt_later(j->a, AGAIN_MS, err_make(ERR_CONFLICT, "the payment keeps changing"));
        return;
    }
    if (attempt_is_late(j->a)) {
        run(j); /* what was opened in time goes on */
    } else {
        op_open(j->m, &j->open, on_opened, j);
    }
}

static struct err read_payload(struct op_job *j, const json_t *o) {
    struct str payment;
    TRY(json_get_str(o, "payment_id", &payment));
    if (!uuid_parse(payment, &j->open.payment)) {
        return err_make(ERR_INVALID, "payment_id is no UUID");
    }
    struct str reason = json_opt_str(o, "reason", STR_NONE);
    j->open.reason = reason.p != NULL ? arena_str(j->a->arena, reason) : STR_NONE;
    j->open.want.amount = json_opt_i64(o, "amount_minor", 0);
    j->open.want.if_version = json_opt_i64(o, "if_version", 0);
    if (j->open.want.kind == OP_REFUND) {
        TRY(json_get_i64(o, "amount_minor", &j->open.want.amount));
    }
    return OK;
}

static void start(struct attempt *a, enum op_kind kind) {
    struct op_job *j = ARENA_NEW(a->arena, struct op_job);
    char root[UUID_TEXT_BYTES];
    json_t *payload;
    uuid_text(a->job.root, root);
    struct str key = arena_printf(a->arena, "%s:%s", root, op_kind_name(kind));
    if (j == NULL || key.p == NULL) {
        attempt_fail(a, err_make(ERR_NOMEM, "attempt"));
        return;
    }
    if (!attempt_parse(a, &payload)) {
        return;
    }
    j->a = a;
    j->m = a->env->state;
    j->open = (struct open_spec){.tenant = a->job.tenant,
                                 .key = key,
                                 .root = a->job.root,
                                 .generation = a->job.generation,
                                 .want = {.kind = kind},
                                 .trace = *attempt_trace(a)};
    struct err e = read_payload(j, payload);
    json_decref(payload);
    if (err_is_set(e)) {
        attempt_fail(a, e);
        return;
    }
    open_job_op(j);
}

void job_capture_start(struct attempt *a) { start(a, OP_CAPTURE); }
void job_void_start(struct attempt *a) { start(a, OP_VOID); }
void job_refund_start(struct attempt *a) { start(a, OP_REFUND); }
