/* Dead jobs that nobody will run again are put away, and taken back; and what an action on dead jobs would find. */
#include <base/json.h>

#include "dead_groups.h"
#include "dlq.h"
#include "handlers.h"
#include "server.h"

enum { IDS_BYTES_MAX = 64 * 1024, ANSWER_BYTES_MAX = 64 * 1024, DISCARD_MOST = 1000 };

/* ---- which are meant ---- */

/* p NULL: none were given, or no memory. */
static struct str ids_of(struct call *c, const json_t *ids) {
    struct buf b;
    const json_t *id;
    size_t i;
    if (!json_is_array(ids)) {
        return STR_NONE;
    }
    buf_init(&b, IDS_BYTES_MAX);
    pg_array_begin(&b);
    json_array_foreach(ids, i, id) { pg_array_add(&b, pg_text(str_c(json_string_value(id)))); }
    pg_array_end(&b);
    struct str out = err_is_set(buf_status(&b)) ? STR_NONE : arena_str(&c->arena, buf_str(&b));
    buf_free(&b);
    return out;
}

bool dead_filter_read(struct call *c, const char *schema, int64_t limit, struct dead_filter *out) {
    json_t *body = call_body(c);
    if (body == NULL) {
        return false;
    }
    bool good = call_check(c, types_body(c->api->types, schema), body, "");
    if (good) {
        struct str fingerprint = json_opt_str(body, "fingerprint", STR_NONE);
        *out = (struct dead_filter){
            .ids = ids_of(c, json_object_get(body, "ids")),
            .fingerprint = fingerprint.p != NULL ? arena_str(&c->arena, fingerprint) : STR_NONE,
            .reason = arena_str(&c->arena, json_opt_str(body, "reason", STR(""))),
            .limit = json_opt_i64(body, "limit", limit),
            .dry_run = json_opt_bool(body, "dry_run", false),
        };
        bool kept = out->reason.p != NULL && (fingerprint.p == NULL || out->fingerprint.p != NULL) &&
                    (json_object_get(body, "ids") == NULL || out->ids.p != NULL);
        if (!kept) {
            call_fail(c, err_make(ERR_NOMEM, "dead jobs"));
            good = false;
        }
    }
    json_decref(body);
    return good;
}

#define MATCHES \
    "queue = $2 AND ($1::text IS NULL OR tenant = $1) AND ($3::uuid[] IS NULL OR id = ANY($3)) AND ($4::text IS NULL OR fingerprint = $4)"
#define OPEN "replayed_at IS NULL AND discarded_at IS NULL AND " MATCHES
#define DISCARDED "replayed_at IS NULL AND discarded_at IS NOT NULL AND " MATCHES
#define SHOW(where, order)                                          \
    "SELECT (SELECT count(*) FROM platform.dead_job WHERE " where   \
    "), (SELECT coalesce(json_agg(id), '[]') FROM (SELECT id FROM " \
    "platform.dead_job WHERE " where " ORDER BY " order " LIMIT 10) s)"

static const struct pg_stmt show_stmts[] = {
    [DEAD_OPEN] = {"api.dead_open", SHOW(OPEN, "died_at"), 4},
    [DEAD_YOUNG] = {"api.dead_young", SHOW(OPEN " AND died_at > now() - interval '25 days'", "died_at"), 4},
    [DEAD_DISCARDED] = {"api.dead_discarded", SHOW(DISCARDED, "discarded_at DESC"), 4},
};

static void on_shown(struct call *c, const PGresult *res) {
    struct str text = arena_printf(&c->arena, "{\"dry_run\":true,\"matched\":%lld,\"sample\":%.*s}",
                                   (long long)pg_col_int(res, 0, 0), STR_ARG(pg_col(res, 0, 1)));
    call_answer(c, 200, "application/json", text);
}

void dead_filter_show(struct call *c, const struct queue_info *q, const struct dead_filter *f, enum dead_match which) {
    const struct pg_value values[] = {call_tenant(c), pg_text(str_c(q->name)), pg_text_or_null(f->ids),
                                      pg_text_or_null(f->fingerprint)};
    call_query(c, &show_stmts[which], values, on_shown);
}

/* ---- POST /v1/dlq/{queue}/discard, …/restore ---- */

/* $5 limit; audited as $6 tenant, $7 author, $8 reason. */
#define MOVE(where, order, at, action)                                                                                                                                                                                   \
    "WITH p AS (SELECT id FROM platform.dead_job WHERE " where " ORDER BY " order " LIMIT $5::int FOR UPDATE SKIP LOCKED), "                                                                                             \
    "d AS (UPDATE platform.dead_job j SET discarded_at = " at " FROM p WHERE j.id = p.id RETURNING j.id), " AUDIT_CTE(                                                                                                   \
        "d", "$6", "$7", "'" action "'", "$2",                                                                                                                                                                           \
        "jsonb_build_object('reason', $8::text, 'fingerprint', $4::text, 'ids', $3::uuid[], 'jobs', (SELECT count(*) FROM d))") " SELECT (SELECT count(*) FROM d), (SELECT count(*) FROM platform.dead_job WHERE " where \
                                                                                                                                ") - (SELECT count(*) FROM d)"

static const struct pg_stmt discard_stmt = {"api.discard", MOVE(OPEN, "died_at", "now()", "dlq.discard"), 8};
static const struct pg_stmt restore_stmt = {"api.restore", MOVE(DISCARDED, "discarded_at DESC", "NULL", "dlq.restore"), 8};

static void on_moved(struct call *c, const PGresult *res, const char *name) {
    dead_groups_expire(c->api);
    call_answer(c, 200, "application/json",
                arena_printf(&c->arena, "{\"%s\":%lld,\"left\":%lld}", name, (long long)pg_col_int(res, 0, 0),
                             (long long)pg_col_int(res, 0, 1)));
}

static void on_discarded(struct call *c, const PGresult *res) { on_moved(c, res, "discarded"); }
static void on_restored(struct call *c, const PGresult *res) { on_moved(c, res, "restored"); }

static void move(struct call *c, const struct pg_stmt *stmt, enum dead_match which, call_then *then) {
    const struct queue_info *q = call_param_queue(c);
    struct dead_filter f;
    char limit[PG_INT_BYTES];
    if (q == NULL || !dead_filter_read(c, "DeadMove", DISCARD_MOST, &f)) {
        return;
    }
    if (f.dry_run) {
        dead_filter_show(c, q, &f, which);
        return;
    }
    const struct pg_value values[] = {
        call_tenant(c),         pg_text(str_c(q->name)),       pg_text_or_null(f.ids),        pg_text_or_null(f.fingerprint),
        pg_int(f.limit, limit), pg_text(str_c(c->who.tenant)), pg_text(str_c(c->who.author)), pg_text(f.reason),
    };
    call_query(c, stmt, values, then);
}

void handle_dlq_discard(struct call *c) { move(c, &discard_stmt, DEAD_OPEN, on_discarded); }
void handle_dlq_restore(struct call *c) { move(c, &restore_stmt, DEAD_DISCARDED, on_restored); }
