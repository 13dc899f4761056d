/* The journal between a real Postgres and a real Redis. Queue "wide", number 9, has three shards; each shard has an epoch whose nonce
 * is NONCE. */
#ifndef JOURNAL_DB_H
#define JOURNAL_DB_H

#include <queues/claim.h>
#include <queues/envelope.h>

#include "jobs_db.h"

enum { NONCE = 4711, WIDE_NUMBER = 9, WIDE_SHARDS = 3 };

static struct queue_redis redis;
static struct journal journal;

struct answer {
    int runs;
    struct err err;
    size_t moved;
    bool more;
    struct uuid last;
};

static inline bool is_answered(void *arg) { return ((struct answer *)arg)->runs > 0; }

static inline void on_answer(void *arg, struct err err) {
    struct answer *a = arg;
    a->runs++;
    a->err = err;
}

static inline void on_moved(void *arg, struct err err, size_t moved, bool more) {
    on_answer(arg, err);
    ((struct answer *)arg)->moved = moved;
    ((struct answer *)arg)->more = more;
}

static inline void wait_answer(struct answer *a) {
    assert_true(wait_until(db.loop, MODULE_DB_WAIT_MS, is_answered, a));
    assert_int_equal(1, a->runs);
}

static inline const struct queue_info *queue(const char *name) {
    const struct queue_info *q = queue_table_find(db.queues, str_c(name));
    assert_non_null(q);
    return q;
}

static inline void load_table(void) {
    bool loaded = false;
    queue_table_load(db.queues, module_db_queues_loaded_, &loaded);
    assert_true(wait_until(db.loop, MODULE_DB_WAIT_MS, module_db_flag_, &loaded));
}

static inline void make_all_ready(void) {
    for (size_t i = 0; i < queue_table_count(db.queues); i++) {
        const struct queue_info *q = queue_table_at(db.queues, i);
        for (unsigned s = 0; s < q->shards_n; s++) {
            queue_redis_make_ready(&redis, q->shards[s], NONCE);
        }
    }
}

static inline int journal_db_setup(void **state) {
    (void)jobs_db_setup(state);
    queue_redis_start(&redis, db.loop);
    sql_run(db.admin, "INSERT INTO platform.queue (name, number, shards) VALUES ('wide', 9, 3)");
    load_table();
    journal = (struct journal){db.platform, &redis.broker, db.queues};
    return 0;
}

static inline int journal_db_teardown(void **state) {
    queue_redis_stop(&redis);
    return jobs_db_teardown(state);
}

/* Everything empty, every shard with its group and epoch. */
static inline int journal_db_reset(void **state) {
    (void)state;
    sql_run(db.admin, "TRUNCATE platform.job, platform.dead_job, unit.job_outbox");
    (void)queue_redis_ask(&redis, "FLUSHALL");
    make_all_ready();
    return 0;
}

/* --- jobs --- */

static inline struct uuid id_in(unsigned number, unsigned shard) {
    return id_new_job(&db.ids, (struct job_place){.queue_number = (uint16_t)number, .shard = (uint8_t)shard});
}

static inline struct journal_job job_in(const char *queue_name, unsigned shard) {
    struct journal_job j = {.id = id_in(queue(queue_name)->number, shard),
                            .tenant = STR("acme"),
                            .queue = str_c(queue_name),
                            .type = STR("unit.job"),
                            .type_version = 3,
                            .payload = STR("{\"a\":1}"),
                            .trace = trace_new()};
    j.root = j.id;
    return j;
}

static inline struct err write_jobs(const struct journal_job *jobs, size_t n) {
    struct answer a = {0};
    journal_write(&journal, jobs, n, on_answer, &a);
    wait_answer(&a);
    return a.err;
}

static inline struct answer relay(void) {
    struct answer a = {0};
    journal_relay(&journal, on_moved, &a);
    wait_answer(&a);
    return a;
}

/* As if the rows had been written so long ago that the relay takes them. */
static inline void age_rows(void) { sql_run(db.admin, "UPDATE platform.job SET created_at = created_at - interval '2 seconds'"); }

static inline const char *epoch_of(struct uuid id) {
    return of_id(id, "SELECT coalesce(epoch::text, 'none') FROM platform.job WHERE id = ", "");
}

static inline int count_rows(const char *where) {
    char sql[256];
    (void)snprintf(sql, sizeof sql, "SELECT count(*) FROM platform.job WHERE %s", where);
    return sql_int(db.admin, sql);
}

static inline int entries(const char *queue_name, unsigned shard) {
    return queue_redis_entries(&redis, queue(queue_name)->shards[shard]);
}

static inline int delayed(const char *queue_name, unsigned shard) {
    return queue_redis_delayed(&redis, queue(queue_name)->shards[shard]);
}

#endif
