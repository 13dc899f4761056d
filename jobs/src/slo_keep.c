/* What was counted since the last time goes to platform.slo_day, as differences with a number: a statement whose answer was lost is sent
 * again with the same number, and adds nothing the second time. */
#include <jobs/slo.h>

#include <jobs/runtime.h>
#include <stdio.h>
#include <stdlib.h>

enum { KEEP_EVERY_MS = 5000, LAST_MS = 1000, ARRAY_BYTES = 4096 };

struct slo_keep {
    struct runtime *rt;
    struct timer *timer, *last_timer;
    char process[128]; /* nobody else's, ever: pids come again */
    int64_t number;
    struct slo_count kept[SLOS], sent[SLOS];
    bool sending, unsure; /* unsure: whether what was sent has arrived */
    void (*last)(void *arg);
    void *last_arg;
};

/* $1 process, $2 number, $3 objectives, $4 good, $5 total. Sorted, or two processes could lock each other's rows. */
static const struct pg_stmt keep_stmt = {
    "slo.keep",
    "WITH turn AS (INSERT INTO platform.slo_process AS p (process, number) VALUES ($1::text, $2::bigint) ON CONFLICT (process) "
    "DO UPDATE SET number = excluded.number, at = now() WHERE p.number < excluded.number RETURNING 1) "
    "INSERT INTO platform.slo_day AS d (day, slo, good, total) SELECT (now() AT TIME ZONE 'UTC')::date, n.slo, n.good, n.total "
    "FROM turn, unnest($3::text[], $4::bigint[], $5::bigint[]) AS n (slo, good, total) ORDER BY n.slo "
    "ON CONFLICT (day, slo) DO UPDATE SET good = d.good + excluded.good, total = d.total + excluded.total",
    5,
};

static void end_last(struct slo_keep *k) {
    void (*last)(void *arg) = k->last;
    k->last = NULL;
    if (last != NULL) {
        timer_stop(k->last_timer);
        last(k->last_arg);
    }
}

static void keep(struct slo_keep *k);

static void on_kept(void *arg, struct err err, const PGresult *res) {
    struct slo_keep *k = arg;
    (void)res;
    k->sending = false;
    k->unsure = err_is_set(err);
    if (!k->unsure) {
        memcpy(k->kept, k->sent, sizeof k->kept);
    }
    if (err.code == ERR_CLOSED) {
        k->last = NULL; /* the process ends already */
    } else if (k->unsure) {
        end_last(k);
    } else if (k->last != NULL) {
        keep(k); /* what came meanwhile */
    }
}

static void add_int(struct buf *b, int64_t v) {
    char room[PG_INT_BYTES];
    pg_array_add(b, pg_int(v, room));
}

static void send(struct slo_keep *k) {
    struct buf names, good, total;
    struct buf *const arrays[] = {&names, &good, &total};
    char number[PG_INT_BYTES];
    for (size_t i = 0; i < 3; i++) {
        buf_init(arrays[i], ARRAY_BYTES);
        pg_array_begin(arrays[i]);
    }
    for (size_t i = 0; i < SLOS; i++) {
        if (k->sent[i].total > k->kept[i].total) {
            pg_array_add(&names, pg_text(str_c(slos[i].name)));
            add_int(&good, k->sent[i].good - k->kept[i].good);
            add_int(&total, k->sent[i].total - k->kept[i].total);
        }
    }
    struct err e = OK;
    for (size_t i = 0; i < 3 && !err_is_set(e); i++) {
        pg_array_end(arrays[i]);
        e = buf_status(arrays[i]);
    }
    if (err_is_set(e)) {
        k->unsure = true; /* out of memory: the next time */
        end_last(k);
    } else {
        const struct pg_value values[] = {pg_text(str_c(k->process)), pg_int(k->number, number), pg_text(buf_str(&names)),
                                          pg_text(buf_str(&good)), pg_text(buf_str(&total))};
        k->sending = true;
        pg_exec(k->rt->platform, &keep_stmt, values, 0, 0, on_kept, k);
    }
    for (size_t i = 0; i < 3; i++) {
        buf_free(arrays[i]);
    }
}

static void keep(struct slo_keep *k) {
    bool any = k->unsure;
    if (k->sending) {
        return;
    }
    if (!k->unsure) {
        for (size_t i = 0; i < SLOS; i++) {
            k->sent[i] = slo_counted(&slos[i]);
            any = any || k->sent[i].total > k->kept[i].total;
        }
        k->number += any;
    }
    if (any) {
        send(k);
    } else {
        end_last(k);
    }
}

static void on_due(void *arg) { keep(arg); }
static void on_last_late(void *arg) { end_last(arg); }

struct err slo_keep_new(struct runtime *rt, struct slo_keep **out) {
    struct slo_keep *k = calloc(1, sizeof *k);
    if (k == NULL) {
        return err_make(ERR_NOMEM, "objectives");
    }
    k->rt = rt;
    (void)snprintf(k->process, sizeof k->process, "%s:%lld", rt->process, (long long)loop_wall(rt->loop).ms);
    struct err e = timer_new(rt->loop, on_due, k, &k->timer);
    if (!err_is_set(e)) {
        e = timer_new(rt->loop, on_last_late, k, &k->last_timer);
    }
    if (err_is_set(e)) {
        slo_keep_free(k);
        return e;
    }
    *out = k;
    return OK;
}

void slo_keep_start(struct slo_keep *k) { timer_start_every(k->timer, KEEP_EVERY_MS); }

void slo_keep_last(struct slo_keep *k, void (*done)(void *arg), void *arg) {
    timer_stop(k->timer);
    k->last = done;
    k->last_arg = arg;
    timer_start(k->last_timer, LAST_MS);
    keep(k);
}

void slo_keep_free(struct slo_keep *k) {
    if (k != NULL) {
        timer_free(k->timer);
        timer_free(k->last_timer);
        free(k);
    }
}
