#include "payments_private.h"

void op_open(struct payments *m, const struct open_spec *s, pg_cb *cb, void *arg) {
    static const struct pg_stmt *const stmts[OP_KIND_MAX] = {
        [OP_CAPTURE] = &payments_stmt_open_capture,
        [OP_VOID] = &payments_stmt_open_void,
        [OP_REFUND] = &payments_stmt_open_refund,
    };
    char op[PG_UUID_BYTES], payment[PG_UUID_BYTES], root[PG_UUID_BYTES], amount[PG_INT_BYTES], version[PG_INT_BYTES],
        generation[PG_INT_BYTES], trace[TRACEPARENT_BYTES];
    trace_text(&s->trace, trace);
    const struct pg_value values[] = {
        pg_uuid(id_new(m->env->ids), op),
        pg_text(s->key),
        pg_uuid(s->payment, payment),
        pg_text(s->tenant),
        uuid_is_nil(s->root) ? PG_NULL : pg_uuid(s->root, root),
        s->want.amount == 0 ? PG_NULL : pg_int(s->want.amount, amount),
        s->want.if_version == 0 ? PG_NULL : pg_int(s->want.if_version, version),
        pg_text(str_c(trace)),
        pg_text(str_c(m->provider->name)),
        pg_int(s->generation, generation),
        pg_text_or_null(s->reason), /* refunds only; the other statements take one less */
    };
    pg_exec(m->env->db, stmts[s->want.kind], values, PG_SHARED, payment_lock_order(s->payment), cb, arg);
}

struct payment_sums payment_sums_read(const PGresult *res) {
    return (struct payment_sums){
        .status = pg_col(res, 0, SUM_COL_STATUS),
        .authorized = pg_col_int(res, 0, SUM_COL_AUTHORIZED),
        .captured = pg_col_int(res, 0, SUM_COL_CAPTURED),
        .voided = pg_col_int(res, 0, SUM_COL_VOIDED),
        .refunded = pg_col_int(res, 0, SUM_COL_REFUNDED),
        .capture_pending = pg_col_int(res, 0, SUM_COL_CAPTURE_PENDING),
        .refund_pending = pg_col_int(res, 0, SUM_COL_REFUND_PENDING),
    };
}
