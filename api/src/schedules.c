/* Schedules: made, changed, shown, paused. Their ticks are made by the scheduler (scheduler/src/cron.c), which is told nothing: it looks
 * once a second. A schedule is its tenant's, as the jobs that it makes. */
#include "schedules.h"

#include <base/json.h>
#include <stdio.h>

#include "server.h"

enum { SCHEDULE_BYTES_MAX = 128 * 1024, LIST_BYTES_MAX = 4 << 20, MINUTE_MS = 60000, ANSWER_COLUMNS = 2 };
#define LIMIT_SCHEDULES 1000 /* of a tenant; part of the statement's text */
#define TEXT_OF_(n) #n
#define TEXT_OF(n) TEXT_OF_(n)

/* ---- answers ---- */

/* next_at of what was made, changed or resumed is the moment from which its ticks count, until the scheduler has come by. */
static struct wall next_tick(const PGresult *res, int row, int first, struct zone_cache *zones) {
    struct wall next = {pg_col_int(res, row, first + 10)};
    struct cron cron;
    const struct zone *zone;
    if (next.ms % MINUTE_MS == 0 || err_is_set(cron_parse(pg_col(res, row, first + 2), &cron)) ||
        err_is_set(zone_cache_load(zones, pg_col(res, row, first + 3), &zone))) {
        return next;
    }
    (void)cron_next(&cron, zone, next, &next);
    return next;
}

static void write_schedule(struct buf *b, const PGresult *res, int row, int first, struct zone_cache *zones) {
    static const char *const texts[] = {"name", "cron", "timezone", "missed", "queue", "type"};
    bool paused = pg_col_bool(res, row, first + 9);
    buf_addf(b, "{\"id\":\"%.*s\"", STR_ARG(pg_col(res, row, first)));
    for (int i = 0; i < (int)(sizeof texts / sizeof texts[0]); i++) {
        job_add_text(b, texts[i], pg_col(res, row, first + 1 + i));
    }
    buf_addf(b, ",\"type_version\":%lld", (long long)pg_col_int(res, row, first + 7));
    if (!pg_col_null(res, row, first + 8)) {
        buf_add_c(b, ",\"payload\":");
        buf_add(b, pg_col(res, row, first + 8));
    }
    buf_addf(b, ",\"paused\":%s", paused ? "true" : "false");
    job_add_time(b, "next_at", paused ? (struct wall){0} : next_tick(res, row, first, zones));
    job_add_time(b, "last_at", (struct wall){pg_col_int(res, row, first + 11)});
    buf_addf(b, ",\"version\":%lld", (long long)pg_col_int(res, row, first + 12));
    job_add_time(b, "created_at", (struct wall){pg_col_int(res, row, first + 13)});
    buf_add_char(b, '}');
}

static void answer_row(struct call *c, int status, const PGresult *res, int first) {
    struct zone_cache zones = {0};
    struct buf b;
    buf_init(&b, SCHEDULE_BYTES_MAX);
    write_schedule(&b, res, 0, first, &zones);
    call_json(c, status, &b);
    buf_free(&b);
    zone_cache_clear(&zones);
}

static void answer_none(struct call *c) {
    call_problem(c, PROBLEM_NOT_FOUND, "There is no schedule \"%.*s\"", STR_ARG(c->param));
}

void schedule_answer(struct call *c, const PGresult *res) {
    if (PQntuples(res) == 0) {
        answer_none(c);
    } else {
        answer_row(c, 200, res, 0);
    }
}

void schedule_path_values(struct call *c, struct pg_value out[SCHEDULE_PATH_VALUES]) {
    struct uuid id;
    bool is_id = uuid_parse(c->param, &id);
    out[0] = pg_text(str_c(c->who.tenant));
    out[1] = is_id ? pg_text(c->param) : PG_NULL;
    out[2] = !is_id && str_is_name(c->param, LIMIT_NAME_BYTES) ? pg_text(c->param) : PG_NULL; /* else it names none */
}

/* ---- what a request says ---- */

struct definition {
    struct str name, cron, timezone, missed;
    struct submit *job; /* type, queue, payload */
};

/* That there are any; the scheduler finds which. */
static bool check_ticks(const struct definition *d, struct wall now) {
    struct cron cron;
    struct zone *zone;
    struct wall next;
    struct err e = cron_parse(d->cron, &cron);
    if (err_is_set(e)) {
        return submit_refuse_member(d->job, "#/cron", e.detail);
    }
    e = zone_load(d->timezone, &zone);
    if (err_is_set(e)) {
        return submit_refuse_member(d->job, "#/timezone", e.detail);
    }
    bool ticks = cron_next(&cron, zone, now, &next);
    zone_free(zone);
    return ticks || submit_refuse_member(d->job, "#/cron", "there is no such day in the next nine years");
}

static bool read_type(struct submit *s, const json_t *body) {
    if (!submit_template(s, body)) {
        return false;
    }
    if (s->a.type->class != CLASS_JOURNAL) {
        s->problem = (struct problem){.id = PROBLEM_STREAM_TYPE,
                                      .detail = arena_printf(&s->a.call->arena, "%s is of durability %s", s->a.type->name,
                                                             job_class_name(s->a.type->class))};
        return false;
    }
    return true;
}

/* False: refused, see d->job->problem. */
static bool read_definition(struct call *c, const json_t *body, struct definition *d) {
    struct uuid id;
    d->name = json_opt_str(body, "name", STR(""));
    d->cron = json_opt_str(body, "cron", STR(""));
    d->timezone = json_opt_str(body, "timezone", STR("UTC"));
    d->missed = json_opt_str(body, "missed", STR("once"));
    if (uuid_parse(d->name, &id)) {
        return submit_refuse_member(d->job, "#/name", "must not look like an id");
    }
    return check_ticks(d, loop_wall(c->api->rt->loop)) && read_type(d->job, body);
}

enum { DEFINITION_VALUES = 8 };
/* Name, cron, timezone, missed, queue, type, type_version, payload: in this order in both statements. */
static void add_definition(const struct definition *d, struct pg_value *out, char room[PG_INT_BYTES]) {
    out[0] = pg_text(d->name);
    out[1] = pg_text(d->cron);
    out[2] = pg_text(d->timezone);
    out[3] = pg_text(d->missed);
    out[4] = pg_text(str_c(d->job->a.queue->name));
    out[5] = pg_text(str_c(d->job->a.type->name));
    out[6] = pg_int(d->job->a.type->version, room);
    out[7] = pg_bytes(d->job->a.payload);
}

/* Runs then with what the body defines, which lives until it returns; or answers. */
static void with_definition(struct call *c, void (*then)(struct call *c, const struct definition *d)) {
    struct definition d = {.job = submit_new(c)};
    json_t *body = call_body(c);
    if (body == NULL) {
        return;
    }
    if (d.job == NULL) {
        call_fail(c, err_make(ERR_NOMEM, "schedule"));
    } else if (call_check(c, types_body(c->api->types, "ScheduleRequest"), body, "")) {
        if (read_definition(c, body, &d)) {
            then(c, &d);
        } else {
            call_problem_full(c, &d.job->problem);
        }
    }
    json_decref(body);
}

#define DETAIL(cron, timezone, missed, type) \
    "jsonb_build_object('cron', " cron ", 'timezone', " timezone ", 'missed', " missed ", 'type', " type ")"

/* ---- POST /v1/schedules ---- */

/* One row in any case. At most LIMIT_SCHEDULES of a tenant, give or take those that come at the same moment. What is there already is
 * the answer too, when it says the same. A schedule that another transaction has made by a hair earlier is not seen at all: no id. */
static const struct pg_stmt create_stmt = {
    "api.schedule_create",
    "WITH n AS (INSERT INTO platform.schedule (tenant, id, name, cron, timezone, missed, queue, type, type_version, payload, next_at) "
    "SELECT $1::text, $2::uuid, $4::text, $5::text, $6::text, $7::text, $8::text, $9::text, $10::int, $11::bytea, "
    "now() WHERE (SELECT count(*) FROM platform.schedule WHERE tenant = $1) < " TEXT_OF(
        LIMIT_SCHEDULES) " "
                         "ON CONFLICT (tenant, name) DO NOTHING RETURNING *), " AUDIT_CTE(
                             "n", "$1", "$3", "'schedule.create'", "$4",
                             DETAIL(
                                 "$5", "$6", "$7",
                                 "$9")) ", x AS (SELECT 'fresh' AS how, n.* FROM n UNION ALL SELECT CASE WHEN (cron, timezone, missed, queue, "
                                        "type, type_version, payload) = ($5, $6, $7, $8, $9, $10, $11) THEN 'same' ELSE 'other' END, s.* "
                                        "FROM platform.schedule s WHERE tenant = $1 AND name = $4) "
                                        "SELECT total.n, x.how, " SCHEDULE_COLUMNS
                                        " FROM (SELECT count(*) AS n FROM platform.schedule WHERE tenant = $1) total LEFT JOIN x ON true",
    SCHEDULE_PATH_VALUES + DEFINITION_VALUES,
};

static void on_created(struct call *c, const PGresult *res) {
    struct str how = pg_col(res, 0, 1);
    if (str_is(how, "fresh") || str_is(how, "same")) {
        struct str location = arena_printf(&c->arena, "/v1/schedules/%.*s", STR_ARG(pg_col(res, 0, ANSWER_COLUMNS)));
        call_header(c, "Location", location.p != NULL ? location : STR("/v1/schedules"));
        answer_row(c, str_is(how, "fresh") ? 201 : 200, res, ANSWER_COLUMNS);
    } else if (str_is(how, "other")) {
        call_problem(c, PROBLEM_EXISTS, "Its id is %.*s", STR_ARG(pg_col(res, 0, ANSWER_COLUMNS)));
    } else if (pg_col_int(res, 0, 0) >= LIMIT_SCHEDULES) {
        call_problem(c, PROBLEM_TOO_MANY, "There are %lld", (long long)pg_col_int(res, 0, 0));
    } else {
        call_problem(c, PROBLEM_CHANGING, "It makes a schedule of this name");
    }
}

static void create(struct call *c, const struct definition *d) {
    struct pg_value values[SCHEDULE_PATH_VALUES + DEFINITION_VALUES];
    char id[PG_UUID_BYTES], room[PG_INT_BYTES];
    values[0] = pg_text(str_c(c->who.tenant));
    values[1] = pg_uuid(id_new(&c->api->rt->ids), id);
    values[2] = pg_text(str_c(c->who.author));
    add_definition(d, values + SCHEDULE_PATH_VALUES, room);
    call_query(c, &create_stmt, values, on_created);
}

void handle_schedules_post(struct call *c) { with_definition(c, create); }

/* ---- PUT /v1/schedules/{id} ---- */

/* A tick that is due at this moment is not lost by a change of anything but its time. */
static const struct pg_stmt update_stmt = {
    "api.schedule_update",
    "WITH u AS (UPDATE platform.schedule SET missed = $7::text, queue = $8::text, type = $9::text, type_version = $10::int, "
    "payload = $11::bytea, next_at = CASE WHEN (cron, timezone) = ($5, $6) THEN next_at ELSE now() END, "
    "cron = $5::text, timezone = $6::text, version = version + 1 WHERE " SCHEDULE_OF_PATH
    " AND name = $4::text RETURNING *), " AUDIT_CTE(
        "u", "$1", "$12", "'schedule.update'", "$4",
        DETAIL("$5", "$6", "$7", "$9")) ", x AS (SELECT name AS old FROM platform.schedule "
                                        "WHERE " SCHEDULE_OF_PATH ") "
                                        "SELECT x.old, u.name IS NOT NULL, " SCHEDULE_COLUMNS " FROM x LEFT JOIN u ON true",
    SCHEDULE_PATH_VALUES + DEFINITION_VALUES + 1,
};

static void on_updated(struct call *c, const PGresult *res) {
    if (PQntuples(res) == 0) {
        answer_none(c);
    } else if (!pg_col_bool(res, 0, 1)) {
        call_problem(c, PROBLEM_EXISTS, "This one is named %.*s, and its name stays", STR_ARG(pg_col(res, 0, 0)));
    } else {
        answer_row(c, 200, res, ANSWER_COLUMNS);
    }
}

static void update(struct call *c, const struct definition *d) {
    struct pg_value values[SCHEDULE_PATH_VALUES + DEFINITION_VALUES + 1];
    char room[PG_INT_BYTES];
    schedule_path_values(c, values);
    add_definition(d, values + SCHEDULE_PATH_VALUES, room);
    values[SCHEDULE_PATH_VALUES + DEFINITION_VALUES] = pg_text(str_c(c->who.author));
    call_query(c, &update_stmt, values, on_updated);
}

void handle_schedules_put(struct call *c) { with_definition(c, update); }

/* ---- GET, DELETE ---- */

static const struct pg_stmt list_stmt = {
    "api.schedules",
    "SELECT " SCHEDULE_COLUMNS_WITH(
        "NULL") " FROM platform.schedule WHERE tenant = $1 AND ($3::uuid IS NULL OR id > $3) ORDER BY id LIMIT $2::int",
    3,
};

struct listing {
    const struct page *page;
    struct zone_cache zones;
};

static void write_row(struct call *c, struct buf *b, const PGresult *res, int row) {
    struct listing *l = c->state;
    write_schedule(b, res, row, 0, &l->zones);
}

static void on_list(struct call *c, const PGresult *res) {
    struct listing *l = c->state;
    int rows = PQntuples(res);
    call_answer_page(c, res, rows, rows == l->page->limit ? pg_col(res, rows - 1, 0) : STR_NONE, LIST_BYTES_MAX, write_row);
    zone_cache_clear(&l->zones);
}

/* Without their payloads, which may be 64 KiB each. */
void handle_schedules_list(struct call *c) {
    const struct page *p = call_page(c);
    struct listing *l = p != NULL ? ARENA_NEW(&c->arena, struct listing) : NULL;
    if (p != NULL && l == NULL) {
        call_fail(c, err_make(ERR_NOMEM, "schedules"));
    } else if (p != NULL) {
        *l = (struct listing){.page = p};
        c->state = l;
        const struct pg_value values[] = {pg_text(str_c(c->who.tenant)), p->rows, p->after};
        call_query(c, &list_stmt, values, on_list);
    }
}

static const struct pg_stmt get_stmt = {
    "api.schedule", "SELECT " SCHEDULE_COLUMNS " FROM platform.schedule WHERE " SCHEDULE_OF_PATH, SCHEDULE_PATH_VALUES};

void handle_schedules_get(struct call *c) {
    struct pg_value values[SCHEDULE_PATH_VALUES];
    schedule_path_values(c, values);
    call_query(c, &get_stmt, values, schedule_answer);
}

static const struct pg_stmt delete_stmt = {
    "api.schedule_delete",
    "WITH d AS (DELETE FROM platform.schedule WHERE " SCHEDULE_OF_PATH
    " RETURNING *), " AUDIT_CTE("d", "$1", "$4", "'schedule.delete'", "(SELECT name FROM d)",
                                "(SELECT " DETAIL("cron", "timezone", "missed", "type") " FROM d)") " SELECT " SCHEDULE_COLUMNS
                                                                                                    " FROM d",
    SCHEDULE_PATH_VALUES + 1,
};

void handle_schedules_delete(struct call *c) {
    struct pg_value values[SCHEDULE_PATH_VALUES + 1];
    schedule_path_values(c, values);
    values[SCHEDULE_PATH_VALUES] = pg_text(str_c(c->who.author));
    call_query(c, &delete_stmt, values, schedule_answer);
}
