#include "dead_groups.h"

#include "sampler.h"
#include "server.h"

/* When there is much to count it takes longer, and is done less often: never more than a twentieth of a connection. */
enum { SHARE = 20, BLOCK_BYTES = 64 * 1024, BYTES_MAX = 8 << 20 };

/* All of them by queue, and the largest groups: by an index alone. When they died is looked at for the last hour only, of each queue's latest
 * twenty thousand. */
#define OPEN "replayed_at IS NULL AND discarded_at IS NULL"
static const struct pg_stmt groups_stmt = {
    "api.dead_groups",
    "WITH g AS MATERIALIZED (SELECT queue, tenant, fingerprint, count(*) AS n, min(died_at) AS first, max(died_at) AS last "
    "FROM platform.dead_job WHERE " OPEN " GROUP BY 1, 2, 3), "
    "r AS (SELECT d.queue, d.tenant, d.fingerprint, floor(date_part('epoch', now() - d.died_at) / 300)::int AS age, count(*) AS n "
    "FROM platform.queue q CROSS JOIN LATERAL (SELECT queue, tenant, fingerprint, died_at FROM platform.dead_job WHERE queue = q.name AND " OPEN
    " AND died_at > now() - interval '1 hour' ORDER BY died_at DESC LIMIT 20000) d GROUP BY 1, 2, 3, 4), "
    "h AS (SELECT queue, tenant, fingerprint, string_agg(age || ':' || n, ',') AS trend FROM r GROUP BY 1, 2, 3), "
    "t AS (SELECT * FROM (SELECT * FROM g ORDER BY n DESC LIMIT 1000) l LEFT JOIN h USING (queue, tenant, fingerprint)) "
    "SELECT q.name, NULL, NULL, coalesce(sum(g.n), 0)::bigint, NULL::bigint, NULL::bigint, NULL FROM platform.queue q "
    "LEFT JOIN g ON g.queue = q.name GROUP BY q.name UNION ALL "
    "SELECT queue, tenant, fingerprint, n, (extract(epoch FROM first) * 1000)::bigint, (extract(epoch FROM last) * 1000)::bigint, trend "
    "FROM t ORDER BY 1, 3 NULLS FIRST",
    0,
};

/* "0:5,3:7": in the last five minutes 5, … */
static void read_trend(struct str text, int64_t out[DEAD_TREND_POINTS]) {
    struct str pair, age;
    while (str_cut(&text, ',', &pair)) {
        int64_t at, n;
        if (str_cut(&pair, ':', &age) && str_to_i64(age, &at) && str_to_i64(pair, &n) && at >= 0 && at < DEAD_TREND_POINTS) {
            out[DEAD_TREND_POINTS - 1 - at] = n;
        }
    }
}

static bool read_group(struct arena *a, const PGresult *res, int row, struct dead_group *out) {
    *out = (struct dead_group){
        .queue = arena_str(a, pg_col(res, row, 0)),
        .tenant = arena_str(a, pg_col(res, row, 1)),
        .fingerprint = arena_str(a, pg_col(res, row, 2)),
        .n = pg_col_int(res, row, 3),
        .first = {pg_col_int(res, row, 4)},
        .last = {pg_col_int(res, row, 5)},
    };
    read_trend(pg_col(res, row, 6), out->trend);
    return out->queue.p != NULL && out->tenant.p != NULL && out->fingerprint.p != NULL;
}

static void take(struct api *api, const PGresult *res) {
    struct dead_groups *g = &api->dead;
    int rows = PQntuples(res);
    arena_reset(&g->arena);
    g->n = 0;
    g->items = ARENA_ARRAY(&g->arena, struct dead_group, (size_t)rows);
    g->at = loop_wall(api->rt->loop);
    for (int row = 0; row < rows; row++) {
        if (pg_col_null(res, row, 2)) {
            sampler_dead(api->sampler, pg_col(res, row, 0), pg_col_int(res, row, 3));
        } else if (g->items != NULL && read_group(&g->arena, res, row, &g->items[g->n])) {
            g->n++;
        }
    }
}

static void on_groups(void *arg, struct err err, const PGresult *res) {
    struct api *api = arg;
    struct dead_groups *g = &api->dead;
    struct mono now = loop_now(api->rt->loop);
    g->reading = false;
    g->next = (struct mono){now.us + SHARE * (now.us - g->began.us)};
    if (!err_is_set(err)) {
        take(api, res);
    }
}

void dead_groups_look(struct api *api) {
    struct dead_groups *g = &api->dead;
    struct mono now = loop_now(api->rt->loop);
    if (g->reading || now.us < g->next.us) {
        return;
    }
    g->reading = true;
    g->began = now;
    pg_exec(api->rt->platform, &groups_stmt, NULL, 0, 0, on_groups, api);
}

void dead_groups_expire(struct api *api) { api->dead.next = (struct mono){0}; }

void dead_groups_init(struct dead_groups *g) {
    *g = (struct dead_groups){0};
    arena_init(&g->arena, BLOCK_BYTES, BYTES_MAX);
}

void dead_groups_free(struct dead_groups *g) { arena_free(&g->arena); }
