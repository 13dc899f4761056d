#include "bulk.h"

#include <base/json.h>
#include <base/limits.h>
#include <bulk/bulk.h>
#include <jobs/module_sql.h>

enum { REST_MS = 1000, PAUSED_MS = 2000 };

static const struct pg_stmt begin_stmt = {
    "bulk.begin",
    "WITH i AS (INSERT INTO platform.bulk (job_id) VALUES ($1::uuid) ON CONFLICT DO NOTHING) "
    "SELECT coalesce(bool_or(paused), false), coalesce(max(done), 0), max(behind::text), coalesce(max(left_over::text), '{}') "
    "FROM platform.bulk WHERE job_id = $1::uuid",
    1,
};

void bulk_filter_values(const struct bulk *b, struct bulk_values *out) {
    out->v[0] = pg_text_or_null(b->of_tenant);
    out->v[1] = pg_text_or_null(b->queue);
    out->v[2] = pg_text_or_null(b->type);
    out->v[3] = pg_text_or_null(b->fingerprint);
    out->v[4] = pg_int(b->until_ms, out->until);
}

void bulk_pick(struct bulk *b, const struct pg_stmt *stmt, int64_t batch, pg_cb *cb, void *arg) {
    char id[PG_UUID_BYTES], most[PG_INT_BYTES], n[PG_INT_BYTES];
    struct bulk_values filter;
    struct pg_value values[BULK_FILTER_PARAMS + 3];
    bulk_filter_values(b, &filter);
    memcpy(values, filter.v, sizeof filter.v);
    values[5] = pg_uuid(b->attempt->job.id, id);
    values[6] = pg_int(b->most, most);
    values[7] = pg_int(batch, n);
    pg_exec(b->attempt->env->runtime->platform, stmt, values, 0, 0, cb, arg);
}

void bulk_moved(struct bulk *b, int64_t found, int64_t done) {
    struct attempt *a = b->attempt;
    b->done = done > b->done ? done : b->done;
    if (found > 0 && done < b->most) {
        attempt_snooze(a, REST_MS);
        return;
    }
    struct str left = str_is(b->left, "{}") ? STR("") : arena_printf(a->arena, ",\"left\":%.*s", STR_ARG(b->left));
    attempt_close(
        a, OUTCOME_DONE, 200,
        arena_printf(a->arena, "{\"done\":%lld,\"confirmed\":%lld%.*s}", (long long)b->done, (long long)b->most, STR_ARG(left)));
}

static void run(struct bulk *b) {
    if (b->op == BULK_CANCEL) {
        bulk_cancel(b);
    } else if (b->op == BULK_EDIT) {
        bulk_edit(b);
    } else {
        bulk_move_dead(b);
    }
}

static void on_begun(void *arg, struct err err, const PGresult *res) {
    struct bulk *b = arg;
    if (err_is_set(err)) {
        attempt_fail(b->attempt, err);
        return;
    }
    b->done = pg_col_int(res, 0, 1);
    b->behind = pg_col_null(res, 0, 2) ? STR_NONE : arena_str(b->attempt->arena, pg_col(res, 0, 2));
    b->left = arena_str(b->attempt->arena, pg_col(res, 0, 3));
    if (b->left.p == NULL || (b->behind.p == NULL && !pg_col_null(res, 0, 2))) {
        attempt_fail(b->attempt, err_make(ERR_NOMEM, "bulk"));
    } else if (pg_col_bool(res, 0, 0)) {
        attempt_snooze(b->attempt, PAUSED_MS);
    } else {
        run(b);
    }
}

/* One that is not there means any; so one for which there is no memory must end the attempt. */
static struct str text(struct attempt *a, const json_t *payload, const char *name, bool *ok) {
    struct str s = json_opt_str(payload, name, STR_NONE);
    struct str copy = s.p != NULL ? arena_str(a->arena, s) : STR_NONE;
    *ok &= s.p == NULL || copy.p != NULL;
    return copy;
}

static bool read_op(struct str name, enum bulk_op *out) {
    static const char *const names[BULK_OPS] = {"retry", "discard", "cancel", "edit"};
    for (int i = 0; i < BULK_OPS; i++) {
        if (str_is(name, names[i])) {
            *out = (enum bulk_op)i;
            return true;
        }
    }
    return false;
}

static struct str patch_of(struct attempt *a, const json_t *payload, bool *ok) {
    const json_t *patch = json_object_get(payload, "patch");
    struct buf b;
    if (patch == NULL) {
        return STR_NONE;
    }
    buf_init(&b, LIMIT_PAYLOAD_BYTES);
    struct str copy = err_is_set(json_write(patch, &b)) ? STR_NONE : arena_str(a->arena, buf_str(&b));
    buf_free(&b);
    *ok &= copy.p != NULL;
    return copy;
}

static void start(struct attempt *a) {
    struct bulk *b = ARENA_NEW(a->arena, struct bulk);
    char id[PG_UUID_BYTES];
    json_t *payload;
    if (!attempt_parse(a, &payload)) {
        return;
    }
    if (b == NULL) {
        json_decref(payload);
        attempt_fail(a, err_make(ERR_NOMEM, "bulk"));
        return;
    }
    bool ok = true;
    *b = (struct bulk){
        .attempt = a,
        .of_tenant = text(a, payload, "of_tenant", &ok),
        .queue = text(a, payload, "queue", &ok),
        .type = text(a, payload, "type", &ok),
        .fingerprint = text(a, payload, "fingerprint", &ok),
        .author = text(a, payload, "author", &ok),
        .tenant = text(a, payload, "tenant", &ok),
        .reason = text(a, payload, "reason", &ok),
        .patch = patch_of(a, payload, &ok),
        .until_ms = json_opt_i64(payload, "until_ms", 0),
        .most = json_opt_i64(payload, "most", 0),
        .per_second = json_opt_i64(payload, "per_second", 1),
    };
    bool known = read_op(json_opt_str(payload, "op", STR("")), &b->op);
    json_decref(payload);
    if (!ok) {
        attempt_fail(a, err_make(ERR_NOMEM, "bulk"));
        return;
    }
    if (!known) {
        attempt_fail(a, err_make(ERR_INVALID, "no such action"));
        return;
    }
    const struct pg_value values[] = {pg_uuid(a->job.id, id)};
    pg_exec(a->env->runtime->platform, &begin_stmt, values, 0, 0, on_begun, b);
}

static const char ddl[] = MODULE_DDL("bulk")
#include "bulk.sql.inc"
    ;
static const char schema[] =
#include "bulk.run.v2.json.inc"
    ;
static const struct module_sql sql = MODULE_SQL("bulk");

static const struct job_type types[] = {
    {.name = "bulk.run",
     .version = 2, /* 1 knew no edit, and of class stream no retry */
     .queue = "bulk",
     .class = CLASS_JOURNAL,
     .schema = schema,
     .timeout_ms = 60000,
     .retry = {.base_ms = 1000, .cap_ms = 60000, .max_attempts = 20},
     .key_required = true,
     .internal = true,
     .start = start},
};

const struct module bulk_module = {
    .name = "bulk",
    .ddl = ddl,
    .sql = &sql,
    .types = types,
    .types_n = sizeof types / sizeof types[0],
};
