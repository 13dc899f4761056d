/* GET /v1/dlq/groups: what was counted (dead_groups.h), and of the groups that are shown an example. */
#include <base/json.h>
#include <stdlib.h>

#include "dead_groups.h"
#include "handlers.h"
#include "server.h"

enum { GROUPS_BYTES_MAX = 1 << 20, ARRAY_BYTES_MAX = 256 * 1024 };

#define OF_GROUP                                                                                            \
    "replayed_at IS NULL AND discarded_at IS NULL AND d.queue = t.queue AND d.fingerprint = t.fingerprint " \
    "AND ($3::text IS NULL OR d.tenant = $3)"
/* A few of each group's latest, and its first, by the index dead_groups. $3 tenant or NULL. */
static const struct pg_stmt examples_stmt = {
    "api.dead_examples",
    "SELECT s.type, s.message, s.ids, f.first_release, s.release FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS t(queue, fingerprint, i) "
    "LEFT JOIN LATERAL (SELECT json_agg(id)::text AS ids, (array_agg(type))[1] AS type, (array_agg(errors -> -1 ->> 'detail'))[1] AS message, "
    "(array_agg(release))[1] AS release FROM (SELECT id, type, errors, release FROM platform.dead_job d WHERE " OF_GROUP
    " ORDER BY died_at DESC LIMIT 3) x) s ON true "
    "LEFT JOIN LATERAL (SELECT first_release FROM platform.dead_job d WHERE " OF_GROUP
    " ORDER BY died_at LIMIT 1) f ON true ORDER BY t.i",
    3,
};

struct listing {
    struct dead_group *items; /* in the call's arena, and so are their strings */
    size_t n;
    struct wall at;
};

static bool is_same(const struct dead_group *a, const struct dead_group *b) {
    return str_eq(a->queue, b->queue) && str_eq(a->fingerprint, b->fingerprint);
}

/* The same of several tenants is one group to who may see them all. */
static void merge(struct dead_group *into, const struct dead_group *g) {
    into->n += g->n;
    into->first.ms = g->first.ms < into->first.ms ? g->first.ms : into->first.ms;
    into->last.ms = g->last.ms > into->last.ms ? g->last.ms : into->last.ms;
    for (size_t i = 0; i < DEAD_TREND_POINTS; i++) {
        into->trend[i] += g->trend[i];
    }
}

static int by_number(const void *a, const void *b) {
    const struct dead_group *x = a, *y = b;
    return x->n != y->n ? (x->n < y->n ? 1 : -1) : x->last.ms != y->last.ms ? (x->last.ms < y->last.ms ? 1 : -1) : 0;
}

/* What the caller may see, the largest first. False: no memory. */
static bool collect(struct call *c, struct str queue, size_t most, struct listing *l) {
    const struct dead_groups *g = &c->api->dead;
    *l = (struct listing){.items = ARENA_ARRAY(&c->arena, struct dead_group, g->n + 1), .at = g->at};
    if (l->items == NULL) {
        return false;
    }
    for (size_t i = 0; i < g->n; i++) {
        const struct dead_group *item = &g->items[i];
        if ((queue.p != NULL && !str_eq(item->queue, queue)) || !call_sees(c, item->tenant)) {
            continue;
        }
        if (l->n > 0 && is_same(&l->items[l->n - 1], item)) {
            merge(&l->items[l->n - 1], item);
        } else {
            l->items[l->n++] = *item;
        }
    }
    qsort(l->items, l->n, sizeof l->items[0], by_number);
    l->n = l->n < most ? l->n : most;
    for (size_t i = 0; i < l->n; i++) {
        l->items[i].queue = arena_str(&c->arena, l->items[i].queue);
        l->items[i].fingerprint = arena_str(&c->arena, l->items[i].fingerprint);
        if (l->items[i].queue.p == NULL || l->items[i].fingerprint.p == NULL) {
            return false;
        }
    }
    return true;
}

static void add_release(struct buf *b, const char *name, const PGresult *res, int row, int column) {
    if (!pg_col_null(res, row, column)) {
        job_add_text(b, name, pg_col(res, row, column));
    }
}

static void write_group(struct buf *b, const struct dead_group *g, const PGresult *res, int row) {
    buf_addf(b, "{\"count\":%lld", (long long)g->n);
    job_add_text(b, "queue", g->queue);
    job_add_text(b, "fingerprint", g->fingerprint);
    job_add_text(b, "type", pg_col(res, row, 0));
    job_add_text(b, "message", pg_col(res, row, 1));
    job_add_time(b, "first_at", g->first);
    job_add_time(b, "last_at", g->last);
    add_release(b, "first_release", res, row, 3);
    add_release(b, "last_release", res, row, 4);
    buf_add_c(b, ",\"trend\":[");
    for (size_t i = 0; i < DEAD_TREND_POINTS; i++) {
        buf_addf(b, "%s%lld", i > 0 ? "," : "", (long long)g->trend[i]);
    }
    struct str ids = pg_col(res, row, 2);
    buf_addf(b, "],\"sample_ids\":%.*s}", STR_ARG(ids.n > 0 ? ids : STR("[]")));
}

static void on_examples(struct call *c, const PGresult *res) {
    const struct listing *l = c->state;
    struct buf b;
    buf_init(&b, GROUPS_BYTES_MAX);
    buf_add_c(&b, "{\"items\":[");
    for (size_t i = 0; i < l->n && (int)i < PQntuples(res); i++) {
        buf_add_c(&b, i > 0 ? "," : "");
        write_group(&b, &l->items[i], res, (int)i);
    }
    buf_add_char(&b, ']');
    job_add_time(&b, "counted_at", l->at);
    buf_add_char(&b, '}');
    call_json(c, 200, &b);
    buf_free(&b);
}

static void ask_examples(struct call *c, const struct listing *l) {
    struct buf queues, fingerprints;
    buf_init(&queues, ARRAY_BYTES_MAX);
    buf_init(&fingerprints, ARRAY_BYTES_MAX);
    pg_array_begin(&queues);
    pg_array_begin(&fingerprints);
    for (size_t i = 0; i < l->n; i++) {
        pg_array_add(&queues, pg_text(l->items[i].queue));
        pg_array_add(&fingerprints, pg_text(l->items[i].fingerprint));
    }
    pg_array_end(&queues);
    pg_array_end(&fingerprints);
    if (err_is_set(buf_status(&queues)) || err_is_set(buf_status(&fingerprints))) {
        call_fail(c, err_make(ERR_NOMEM, "groups"));
    } else {
        const struct pg_value values[] = {pg_text(buf_str(&queues)), pg_text(buf_str(&fingerprints)), call_tenant(c)};
        call_query(c, &examples_stmt, values, on_examples);
    }
    buf_free(&queues);
    buf_free(&fingerprints);
}

void handle_dlq_groups(struct call *c) {
    const struct page *p = call_page(c);
    struct listing *l = ARENA_NEW(&c->arena, struct listing);
    if (p == NULL) {
        return;
    }
    if (l == NULL || !collect(c, http_query(c->req, "queue"), (size_t)p->limit, l)) {
        call_fail(c, err_make(ERR_NOMEM, "groups"));
        return;
    }
    c->state = l;
    ask_examples(c, l);
}
