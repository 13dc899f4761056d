#include "declared.h"

#include <base/log.h>
#include <io/timer.h>
#include <stdlib.h>

#include "types.h"

enum { TELL_AGAIN_MS = 1000, COLUMNS = 5, COLUMN_BYTES_MAX = 64 << 10 };

/* Declared types become those of this process's file: of several API processes, the last one to tell decides. Each tells at its start and
 * at HUP, so once all have read the same file, that one stands. Rows of types in C that this process does not know stay: another version's
 * API may. */
static const struct pg_stmt tell_stmt = {
    "api.job_types",
    "WITH gone AS (DELETE FROM platform.job_type WHERE declared AND name <> ALL ($1::text[])) "
    "INSERT INTO platform.job_type AS t (name, version, queue, internal, declared) "
    "SELECT * FROM unnest($1::text[], $2::int[], $3::text[], $4::boolean[], $5::boolean[]) AS d(name, version, queue, internal, declared) "
    "ORDER BY name ON CONFLICT (name) DO UPDATE SET "
    "version = excluded.version, queue = excluded.queue, internal = excluded.internal, declared = excluded.declared "
    "WHERE (t.version, t.queue, t.internal, t.declared) "
    "IS DISTINCT FROM (excluded.version, excluded.queue, excluded.internal, excluded.declared)",
    COLUMNS,
};

/* A set that another one has replaced; calls that began before may hold types of it. */
struct retired {
    STAILQ_ENTRY(retired) link;
    struct type_set *set;
    uint64_t last_call; /* the newest that may */
};

void declared_forget(struct api *api, bool all) {
    struct retired *r;
    const struct call *oldest = TAILQ_FIRST(&api->open);
    while ((r = STAILQ_FIRST(&api->retired)) != NULL && (all || oldest == NULL || oldest->number > r->last_call)) {
        STAILQ_REMOVE_HEAD(&api->retired, link);
        type_set_release(r->set);
        free(r);
    }
}

/* ---- what Postgres knows ---- */

static void on_told(void *arg, struct err err, const PGresult *res) {
    struct api *api = arg;
    bool stale = api->telling == TELL_STALE;
    (void)res;
    api->telling = TELL_NOTHING;
    if (api->closing) {
        return;
    }
    if (err_is_set(err)) {
        LOG(WARN, "types.not_told", LF_ERR(err));
        timer_start(api->tell_timer, TELL_AGAIN_MS);
    } else if (stale) {
        declared_tell(api);
    }
}

static void add_types(const struct api *api, struct buf *columns) {
    const struct job_type *type;
    char room[PG_INT_BYTES];
    for (size_t i = 0; (type = registry_at(api->rt->registry, i, NULL)) != NULL; i++) {
        if (type->class == CLASS_JOURNAL) {
            pg_array_add(&columns[0], pg_text(str_c(type->name)));
            pg_array_add(&columns[1], pg_int(type->version, room));
            pg_array_add(&columns[2], pg_text(str_c(type->queue)));
            pg_array_add(&columns[3], pg_text(type->internal ? STR("t") : STR("f")));
            pg_array_add(&columns[4], pg_text(type->declared != NULL ? STR("t") : STR("f")));
        }
    }
}

void declared_tell(struct api *api) {
    struct buf columns[COLUMNS];
    struct pg_value values[COLUMNS];
    struct err e = OK;
    if (api->telling != TELL_NOTHING) { /* two on their way could arrive in the other order */
        api->telling = TELL_STALE;
        return;
    }
    for (size_t i = 0; i < COLUMNS; i++) {
        buf_init(&columns[i], COLUMN_BYTES_MAX);
        pg_array_begin(&columns[i]);
    }
    add_types(api, columns);
    for (size_t i = 0; i < COLUMNS; i++) {
        pg_array_end(&columns[i]);
        e = err_is_set(e) ? e : buf_status(&columns[i]);
        values[i] = pg_text(buf_str(&columns[i]));
    }
    if (err_is_set(e)) {
        on_told(api, e, NULL);
    } else {
        api->telling = TELL_SENT;
        pg_exec(api->rt->platform, &tell_stmt, values, 0, 0, on_told, api);
    }
    for (size_t i = 0; i < COLUMNS; i++) {
        buf_free(&columns[i]);
    }
}

/* ---- another set ---- */

static void take(struct api *api, struct type_set *set, struct types *types, struct retired *old) {
    struct registry *r = api->options->registry;
    *old = (struct retired){.set = r->declared, .last_call = api->calls_n};
    STAILQ_INSERT_TAIL(&api->retired, old, link);
    r->declared = set;
    types_free(api->types);
    api->types = types;
    buf_free(&api->openapi);
    declared_tell(api);
    declared_forget(api, false);
    LOG(INFO, "types.declared", LF_C("file", api->options->conf->handler_types), LF_INT("types", set->types_n));
}

void declared_reload(struct api *api) {
    struct registry next = *api->options->registry;
    struct types *types = NULL;
    if (next.declared == NULL) {
        LOG(INFO, "types.unchanged", LF_C("file", ""));
        return;
    }
    struct retired *old = malloc(sizeof *old);
    struct err e =
        old != NULL ? registry_declare(&next, api->options->conf->handler_types, &next.declared) : err_make(ERR_NOMEM, "types");
    bool read = !err_is_set(e);
    if (read) {
        e = types_new(&next, &types);
    }
    if (err_is_set(e)) {
        LOG(ERROR, "types.refused", LF_ERR(e));
        type_set_release(read ? next.declared : NULL);
        free(old);
        return;
    }
    take(api, next.declared, types, old);
}
