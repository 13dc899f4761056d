/* Dead jobs with another payload: a batch is picked behind the last one's last id, each of them is patched, checked and made anew by a statement that
 * counts it (jobs/edit.h), and then the action moves on. Whatever dies in between, a job that was made anew is dead no more, and one that was
 * not comes again. */
#include "bulk.h"

#include <base/json.h>
#include <jobs/edit.h>

enum { EDIT_BATCH = 32 }; /* the largest payloads, each before and after, are half of an attempt's arena */

/* $6 the action's job, $7 how many at most in all, $8 in this batch. */
static const struct pg_stmt pick_stmt = {
    "bulk.pick_edit",
    "SELECT d.id FROM platform.dead_job d, (SELECT done, behind FROM platform.bulk WHERE job_id = $6::uuid) b "
    "WHERE " BULK_FILTER_JOURNAL "AND (b.behind IS NULL OR d.id > b.behind) ORDER BY d.id "
    "LIMIT least($8::bigint, $7::bigint - (SELECT done FROM platform.bulk WHERE job_id = $6::uuid))",
    BULK_FILTER_PARAMS + 3,
};

struct one {
    struct edit edit;
    struct batch *batch;
    struct str example; /* of why it is left as it was */
};

/* A type's schema, for the batch. */
struct compiled {
    const struct job_type *type;
    struct schema *schema;
    struct compiled *next;
};

/* In the attempt's arena. */
struct batch {
    struct bulk *bulk;
    struct one *ones;
    size_t n, left;
    struct bulk_lefts lefts;
    struct compiled *compiled;
    json_t *patch;
    struct err away; /* of the first job that a server of ours failed */
};

/* ---- schemas ---- */

static struct err compile(const struct job_type *type, struct schema **out) {
    json_t *document;
    TRY(json_read(str_c(type->schema), &document));
    struct err err = schema_compile(document, out);
    json_decref(document);
    return err;
}

static struct err schema_of(struct batch *t, const struct job_type *type, const struct schema **out) {
    struct compiled *c = t->compiled;
    while (c != NULL && c->type != type) {
        c = c->next;
    }
    if (c == NULL) {
        c = ARENA_NEW(t->bulk->attempt->arena, struct compiled);
        if (c == NULL) {
            return err_make(ERR_NOMEM, "schema");
        }
        TRY(compile(type, &c->schema));
        c->type = type;
        c->next = t->compiled;
        t->compiled = c;
    }
    *out = c->schema;
    return OK;
}

static bool check(struct edit *e, const json_t *payload) {
    struct one *o = e->arg;
    const struct schema *schema;
    struct schema_error error;
    struct err err = schema_of(o->batch, e->type, &schema);
    char id[UUID_TEXT_BYTES];
    uuid_text(e->old, id);
    if (err_is_set(err)) {
        o->batch->away = err;
        return false;
    }
    if (schema_check(schema, payload, &error, 1) > 0) {
        o->example = arena_printf(e->arena, "%s: %s %s", id, error.pointer, error.detail);
        return false;
    }
    return true;
}

/* ---- the batch ---- */

static void batch_free(struct batch *t) {
    for (const struct compiled *c = t->compiled; c != NULL; c = c->next) {
        schema_free(c->schema);
    }
    json_decref(t->patch);
}

/* One with jobs that could not be looked at is gone through again: those that were made anew are dead no more. */
static void left_one(struct batch *t) {
    if (--t->left > 0) {
        return;
    }
    batch_free(t);
    if (err_is_set(t->away)) {
        attempt_fail(t->bulk->attempt, t->away);
    } else {
        bulk_note(t->bulk, t->ones[t->n - 1].edit.old, &t->lefts, (int64_t)t->n);
    }
}

static void on_edited(struct edit *e, enum edit_verdict verdict) {
    struct one *o = e->arg;
    struct batch *t = o->batch;
    char id[UUID_TEXT_BYTES];
    uuid_text(e->old, id);
    if (verdict == EDIT_FAILED && e->err.code != ERR_TOO_LARGE) {
        t->away = e->err;
    } else if (verdict != EDIT_MADE) {
        bulk_leave(&t->lefts, verdict == EDIT_FAILED ? "payload_too_large" : edit_verdict_name(verdict),
                   o->example.p != NULL ? o->example : arena_str(e->arena, str_c(id)));
    }
    left_one(t);
}

static void on_picked(void *arg, struct err err, const PGresult *res) {
    struct batch *t = arg;
    const struct bulk *b = t->bulk;
    struct attempt *a = b->attempt;
    size_t rows = err_is_set(err) ? 0 : (size_t)PQntuples(res);
    t->ones = rows > 0 ? ARENA_ARRAY(a->arena, struct one, rows) : NULL;
    err = err_is_set(err) || t->ones != NULL || rows == 0 ? err : err_make(ERR_NOMEM, "batch");
    if (!err_is_set(err) && rows > 0) {
        err = json_read(b->patch, &t->patch);
    }
    if (err_is_set(err)) {
        attempt_fail(a, err);
        return;
    }
    if (rows == 0) {
        bulk_moved(t->bulk, 0, 0);
        return;
    }
    t->left = rows;
    for (; t->n < rows; t->n++) {
        struct one *o = &t->ones[t->n];
        o->batch = t;
        o->edit = (struct edit){.rt = a->env->runtime,
                                .arena = a->arena,
                                .of_tenant = b->of_tenant,
                                .change = t->patch,
                                .is_patch = true,
                                .author = b->author,
                                .tenant = b->tenant,
                                .reason = b->reason,
                                .bulk = a->job.id,
                                .parent = attempt_trace(a),
                                .scope = &a->scope,
                                .check = check,
                                .done = on_edited,
                                .arg = o};
        (void)pg_col_uuid(res, (int)t->n, 0, &o->edit.old);
        edit_start(&o->edit);
    }
}

void bulk_edit(struct bulk *b) {
    struct batch *t = ARENA_NEW(b->attempt->arena, struct batch);
    if (t == NULL) {
        attempt_fail(b->attempt, err_make(ERR_NOMEM, "batch"));
        return;
    }
    *t = (struct batch){.bulk = b};
    bulk_pick(b, &pick_stmt, b->per_second < EDIT_BATCH ? b->per_second : EDIT_BATCH, on_picked, t);
}
