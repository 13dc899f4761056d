/* Following platform.desired_workers: once a second this supervisor says that it is there, what it has and what it does; twice a second it reads
 * how many processes each queue should have, and which supervisors there are. */
#include <base/json.h>
#include <base/log.h>
#include <base/metrics.h>
#include <math.h>

#include "share.h"
#include "supervisor.h"

enum { ROW_SUPERVISOR, ROW_ORDER, ROW_QUEUE, ROW_READY, ROW_TYPE };
enum { ALIVE_MS = 5000, SAY_EVERY_MS = 1000, SETTLED_MS = 2000, LOADS_BYTES_MAX = 64 * 1024 };
static const double load_over_s = 5;

static const struct pg_stmt say_stmt = {
    "supervisor.say",
    "INSERT INTO platform.supervisor (name, room, cores, queues, load, seen_at) VALUES ($1, $2::int, $3::int, $4, $5::jsonb, now()) "
    "ON CONFLICT (name) DO UPDATE SET room = excluded.room, cores = excluded.cores, queues = excluded.queues, load = excluded.load, "
    "seen_at = excluded.seen_at", /* a process of the same name may have been another */
    5,
};
/* First the supervisors by name, then the orders to processes of this one, then the queues, then the types that are limited; before those, if
 * there are any, how many processes of each queue are ready at each supervisor. Who has not been heard of for five seconds (ALIVE_MS), by the
 * clock that all share, is gone. Whoever gave an order waits for less than ten. */
static const struct pg_stmt look_stmt = {
    "supervisor.look",
    "SELECT 0 AS kind, name, room::bigint, queues, NULL FROM platform.supervisor WHERE seen_at > now() - interval '5 s' "
    "UNION ALL SELECT 1, consumer, id, wish, outcome FROM platform.worker_order WHERE supervisor = $1 AND at > now() - interval '10 s' "
    "UNION ALL SELECT 2, queue, workers, NULL, NULL FROM platform.desired_workers "
    "UNION ALL SELECT 3, s.name, coalesce(l.ready, l.processes), l.queue, NULL FROM platform.supervisor s, "
    "jsonb_to_recordset(s.load) AS l(queue text, processes int, ready int) WHERE s.seen_at > now() - interval '5 s' "
    "AND EXISTS (SELECT FROM platform.throttle WHERE kind = 'type' AND concurrency IS NOT NULL) "
    "UNION ALL SELECT 4, name, concurrency, NULL, NULL FROM platform.throttle WHERE kind = 'type' AND concurrency IS NOT NULL "
    "ORDER BY 1, 2, 3",
    1,
};
static const struct pg_stmt end_stmt = {"supervisor.end", "DELETE FROM platform.supervisor WHERE name = $1", 1};
static const struct pg_stmt change_stmt = {
    "supervisor.change",
    "UPDATE platform.desired_workers SET workers = greatest(0, workers + $1::int), pinned = true, reason = $2::text, author = $3::text, at = now()",
    3,
};

/* ---- what it has and does ---- */

static void take_load(struct supervisor *s, const struct queue_info *q, struct load *load, double dt) {
    double attempts = 0, ran_us = 0, weight = 1 - exp(-dt / load_over_s);
    struct child *c;
    TAILQ_FOREACH(c, &s->alive, link) {
        if (c->queue == q && !c->quarantine) {
            attempts += (double)(c->table->attempts - c->attempts);
            ran_us += (double)(c->table->ran_us - c->ran_us);
            c->attempts = c->table->attempts;
            c->ran_us = c->table->ran_us;
        }
    }
    load->attempts_per_s += (attempts / dt - load->attempts_per_s) * weight;
    load->run_s_per_s += (ran_us / 1e6 / dt - load->run_s_per_s) * weight;
}

static size_t busy(const struct supervisor *s, const struct queue_info *q) {
    size_t n = 0;
    struct child *c;
    TAILQ_FOREACH(c, &s->alive, link) { n += c->queue == q && !c->quarantine && !c->leaving ? c->table->busy : 0; }
    return n;
}

static bool is_ready(const struct child *c, const struct queue_info *q) {
    return c->queue == q && !c->quarantine && !c->leaving && !c->rests && c->table->ready != 0;
}

/* Who is missed for the first time is still said: one that died has a successor in a second, and while one dies again and again the others would
 * never have more. */
static void take_ready(struct supervisor *s, const struct queue_info *q, struct load *load) {
    struct ready_set now = {0};
    struct child *c;
    TAILQ_FOREACH(c, &s->alive, link) {
        if (is_ready(c, q)) {
            now.bits[c->slot / 64] |= UINT64_C(1) << c->slot % 64;
        }
    }
    for (size_t i = 0; i < SLOTS_MAX / 64; i++) {
        uint64_t missed = load->said.bits[i] & ~now.bits[i], said = now.bits[i] | (missed & ~load->missed.bits[i]);
        load->missed.bits[i] = missed;
        if (load->said.bits[i] != said) {
            load->said.bits[i] = said;
            load->dealt = loop_now(s->rt->loop);
        }
    }
}

static bool was_ready(const struct load *load, int slot) { return (load->said.bits[slot / 64] >> slot % 64 & 1) != 0; }

/* Of those in slots before this one. */
static size_t count_ready(const struct load *load, int before) {
    size_t n = 0;
    for (int slot = 0; slot < before; slot++) {
        n += was_ready(load, slot);
    }
    return n;
}

static void write_loads(const struct supervisor *s, struct buf *b) {
    buf_add_char(b, '[');
    for (size_t i = 0; i < queue_table_count(s->rt->queues); i++) {
        const struct queue_info *q = queue_table_at(s->rt->queues, i);
        buf_addf(b,
                 "%s{\"queue\":\"%s\",\"processes\":%zu,\"ready\":%zu,\"busy\":%zu,\"attempts_per_s\":%.4f,\"run_s_per_s\":%.4f}",
                 i > 0 ? "," : "", q->name, supervisor_count(s, q, false), count_ready(&s->loads[i], SLOTS_MAX), busy(s, q),
                 s->loads[i].attempts_per_s, s->loads[i].run_s_per_s);
    }
    buf_add_char(b, ']');
}

static void on_said(void *arg, struct err err, const PGresult *res) {
    (void)arg;
    (void)err; /* the next second again; whoever looks knows how old the row is */
    (void)res;
}

static void say(struct supervisor *s) {
    char room[PG_INT_BYTES], cores[PG_INT_BYTES];
    struct buf loads;
    struct mono now = loop_now(s->rt->loop);
    int64_t ms = mono_ms_since(now, s->said);
    if (ms < SAY_EVERY_MS) {
        return;
    }
    s->said = now;
    for (size_t i = 0; i < queue_table_count(s->rt->queues); i++) {
        take_load(s, queue_table_at(s->rt->queues, i), &s->loads[i], (double)ms / 1000);
        take_ready(s, queue_table_at(s->rt->queues, i), &s->loads[i]);
    }
    buf_init(&loads, LOADS_BYTES_MAX);
    write_loads(s, &loads);
    if (!err_is_set(buf_status(&loads))) {
        const struct pg_value values[] = {pg_text(str_c(s->rt->process)), pg_int(s->rt->conf->worker_max_processes, room),
                                          pg_int(uv_available_parallelism(), cores), pg_text(str_c(s->rt->conf->worker_queues)),
                                          pg_text(buf_str(&loads))};
        pg_exec(s->rt->platform, &say_stmt, values, 0, 0, on_said, NULL);
    }
    buf_free(&loads);
}

/* ---- what there should be ---- */

static void drain_one(struct supervisor *s, const struct queue_info *q) {
    struct child *c, *last = NULL;
    TAILQ_FOREACH(c, &s->alive, link) {
        if (c->queue == q && !c->quarantine && !c->leaving && (last == NULL || c->slot > last->slot)) {
            last = c;
        }
    }
    if (last != NULL) {
        supervisor_tell_to_leave(last);
    }
}

static void follow(struct supervisor *s, const struct queue_info *q, size_t share) {
    size_t now = supervisor_count(s, q, false);
    for (; now < share && supervisor_may_start(s) && supervisor_count(s, NULL, true) < (size_t)s->rt->conf->worker_max_processes;
         now++) {
        supervisor_start_one(s, q, false);
    }
    for (; now > share; now--) {
        drain_one(s, q);
    }
}

static bool runs(struct str queues, const struct queue_info *q) {
    struct str rest = queues, name;
    bool found = queues.n == 0;
    while (!found && str_cut(&rest, ',', &name)) {
        found = str_is(name, q->name);
    }
    return found;
}

/* The supervisors that run a queue. */
static size_t read_places(const struct supervisor *s, const PGresult *res, const struct queue_info *q,
                          struct share_place places[SHARE_PLACES_MAX]) {
    size_t n = 0;
    for (int row = 0; row < PQntuples(res) && pg_col_int(res, row, 0) == ROW_SUPERVISOR && n < SHARE_PLACES_MAX; row++) {
        if (runs(pg_col(res, row, 3), q)) {
            places[n++] = (struct share_place){(int)pg_col_int(res, row, 2), str_is(pg_col(res, row, 1), s->rt->process)};
        }
    }
    return n;
}

static size_t count_supervisors(const struct supervisor *s, const PGresult *res, bool *out_me) {
    size_t n = 0;
    *out_me = false;
    for (; n < (size_t)PQntuples(res) && pg_col_int(res, (int)n, 0) == ROW_SUPERVISOR; n++) {
        *out_me |= str_is(pg_col(res, (int)n, 1), s->rt->process);
    }
    return n;
}

/* ---- what a type's limit allows in all processes, dealt out among those that run ---- */

static struct deal read_deal(const struct supervisor *s, const PGresult *res, const struct queue_info *q) {
    struct deal d = {0};
    for (int row = 0; row < PQntuples(res); row++) {
        if (pg_col_int(res, row, 0) == ROW_READY && str_is(pg_col(res, row, 3), q->name)) {
            size_t n = (size_t)pg_col_int(res, row, 2);
            if (str_is(pg_col(res, row, 1), s->rt->process)) {
                d.first = d.all;
                d.own = n;
            }
            d.all += n;
        }
    }
    return d;
}

static struct load *load_of(struct supervisor *s, const struct queue_info *q) {
    size_t i = 0;
    while (queue_table_at(s->rt->queues, i) != q) {
        i++;
    }
    return &s->loads[i];
}

/* Less at once, more only when all have had the time to see that some have less, and their attempts to end. The rows may be older than what was
 * said since. */
static bool is_settled(struct supervisor *s, struct load *load, struct deal d) {
    struct mono now = loop_now(s->rt->loop);
    if (load->deal.first != d.first || load->deal.own != d.own || load->deal.all != d.all ||
        d.own != count_ready(load, SLOTS_MAX)) {
        load->deal = d;
        load->dealt = now;
    }
    return mono_ms_since(now, load->dealt) >= SETTLED_MS;
}

static void limit_one(struct child *c, struct str name, size_t part, bool settled) {
    char type[65];
    if (str_copy_c(name, type, sizeof type) && (settled || part < slot_table_most(c->table, type))) {
        slot_table_limit(c->table, type, (uint32_t)part);
    }
}

/* part: which of all parts of the deal, from 1 on; 0: none. What is not in the rows, from first on, is limited no more. */
static void limit_child(struct child *c, const PGresult *res, int first, size_t part, struct deal d, bool settled) {
    for (uint32_t i = 0; i < c->table->limits_n; i++) {
        bool there = false;
        for (int row = first; row < PQntuples(res) && !there; row++) {
            there = str_is(pg_col(res, row, 1), c->table->limits[i].type);
        }
        if (!there) {
            slot_table_limit(c->table, c->table->limits[i].type, SLOT_UNLIMITED);
        }
    }
    for (int row = first; row < PQntuples(res); row++) {
        size_t most = (size_t)pg_col_int(res, row, 2);
        limit_one(c, pg_col(res, row, 1), part > 0 ? most * part / d.all - most * (part - 1) / d.all : 0, settled);
    }
}

/* A part is a slot's, of those that this supervisor last said are ready: whoever ends or begins meanwhile moves nobody else's. A process that is
 * not ready has none; nor has one that rests: what it might begin is the others'. */
static void limit_children(struct supervisor *s, const struct queue_info *q, const PGresult *res) {
    struct deal d = read_deal(s, res, q);
    struct load *load = load_of(s, q);
    bool settled = is_settled(s, load, d);
    int first = 0;
    struct child *c;
    while (first < PQntuples(res) && pg_col_int(res, first, 0) != ROW_TYPE) {
        first++;
    }
    TAILQ_FOREACH(c, &s->alive, link) {
        if (c->queue != q || c->quarantine || c->leaving) {
            continue;
        }
        c->rests = c->quiet && c->table->busy == 0;
        size_t before = count_ready(load, c->slot);
        bool has_one = is_ready(c, q) && was_ready(load, c->slot) && before < d.own;
        limit_child(c, res, first, has_one ? d.first + before + 1 : 0, d, settled);
    }
}

/* first: one process, if the queue should have any; where there is no room for all, each queue has one before others have more. */
static void follow_row(struct supervisor *s, const PGresult *res, int row, bool first) {
    struct share_place places[SHARE_PLACES_MAX];
    const struct queue_info *q = queue_table_find(s->rt->queues, pg_col(res, row, 1));
    if (q == NULL) {
        return;
    }
    size_t wanted = (size_t)pg_col_int(res, row, 2);
    size_t share = share_of(wanted, places, read_places(s, res, q, places), q->number);
    if (first) {
        if (share > 0 && supervisor_count(s, q, false) == 0) {
            follow(s, q, 1);
        }
        return;
    }
    follow(s, q, share);
    limit_children(s, q, res);
    if (wanted > 0 && runs(str_c(s->rt->conf->worker_queues), q)) {
        quarantine_follow(s, q);
    }
}

/* When it could not look for a while the others could not say that they are there, either. */
static void be_patient(struct supervisor *s) { s->patient_until.us = loop_now(s->rt->loop).us + ALIVE_MS * 1000; }

/* Who is not heard of for so long is gone to the others, who soon after have what was his. */
static void give_up_parts(struct supervisor *s) {
    struct child *c;
    TAILQ_FOREACH(c, &s->alive, link) {
        for (uint32_t i = 0; i < c->table->limits_n; i++) {
            if (c->table->limits[i].most != SLOT_UNLIMITED) {
                slot_table_limit(c->table, c->table->limits[i].type, 0);
            }
        }
    }
    for (size_t i = 0; i < LIMIT_QUEUES; i++) {
        s->loads[i].dealt = loop_now(s->rt->loop);
    }
}

static void on_look(void *arg, struct err err, const PGresult *res) {
    struct supervisor *s = arg;
    bool me;
    s->looking = false;
    if (err_is_set(err) || s->leaving) {
        be_patient(s);
        return; /* as it was */
    }
    size_t n = count_supervisors(s, res, &me);
    int first = (int)n;
    while (first < PQntuples(res) && pg_col_int(res, first, 0) == ROW_ORDER) {
        first++;
    }
    orders_take(s, res, (int)n, first - (int)n);
    if (!me) {
        give_up_parts(s);
        be_patient(s); /* just written, for the first time or after a while */
        return;
    }
    s->seen = loop_now(s->rt->loop);
    if (n < s->supervisors_n && loop_now(s->rt->loop).us < s->patient_until.us) {
        return;
    }
    s->supervisors_n = n;
    for (int pass = 0; pass < 2; pass++) {
        for (int row = first; row < PQntuples(res) && pg_col_int(res, row, 0) == ROW_QUEUE; row++) {
            follow_row(s, res, row, pass == 0);
        }
    }
}

void follow_look(struct supervisor *s) {
    say(s);
    if (mono_ms_since(loop_now(s->rt->loop), s->seen) >= ALIVE_MS) {
        give_up_parts(s);
    }
    if (!s->looking) {
        const struct pg_value me = pg_text(str_c(s->rt->process));
        s->looking = true;
        pg_exec(s->rt->platform, &look_stmt, &me, 0, 0, on_look, s);
    }
}

/* ---- signals ---- */

static void on_changed(void *arg, struct err err, const PGresult *res) {
    (void)arg;
    (void)res; /* the next look sees it */
    if (err_is_set(err)) {
        LOG(ERROR, "scale.failed", LF_ERR(err));
    }
}

void follow_change(struct supervisor *s, int by) {
    char room[PG_INT_BYTES];
    const struct pg_value values[] = {pg_int(by, room), pg_text(by > 0 ? STR("TTIN") : STR("TTOU")),
                                      pg_text(str_c(s->rt->process))};
    pg_exec(s->rt->platform, &change_stmt, values, 0, 0, on_changed, s);
}

void follow_end(struct supervisor *s) {
    const struct pg_value values[] = {pg_text(str_c(s->rt->process))};
    pg_exec(s->rt->platform, &end_stmt, values, 0, 0, on_said, NULL);
}
