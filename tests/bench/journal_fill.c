/* journal_fill: --jobs rows of demo.note in the journal, each with its place in Redis, as journal_write makes them (64 in a statement, and
 * in a call). One line of JSON. --postgres is the URL; it connects as --user to both, with --password. */
#include "redis_user.h"
#include "tool.h"

#include <jobs/journal.h>
#include <stdio.h>

enum { STATEMENT_MS = 30000, WAITING_MAX = 64 };

static struct {
    struct loop *loop;
    struct pg_pool *platform;
    struct queue_table *queues;
    struct redis *connection;
    struct broker redis;
    struct journal journal;
    struct id_maker ids;
    long jobs, done;
    double began;
} fill;

static void write_batch(void);

static void on_written(void *arg, struct err err) {
    (void)arg;
    if (err_is_set(err)) {
        die("journal", err.detail);
    }
    fill.done += LIMIT_BATCH;
    if (fill.done < fill.jobs) {
        write_batch();
        return;
    }
    (void)printf("{\"jobs\":%ld,\"wall\":%.6f}\n", fill.jobs, tool_seconds() - fill.began);
    loop_stop(fill.loop);
}

static void write_batch(void) {
    struct journal_job jobs[LIMIT_BATCH];
    long left = fill.jobs - fill.done;
    size_t n = left < LIMIT_BATCH ? (size_t)left : LIMIT_BATCH;
    for (size_t i = 0; i < n; i++) {
        jobs[i] = (struct journal_job){
            .id = id_new_job(&fill.ids, (struct job_place){.stream_class = false}),
            .tenant = STR("default"),
            .queue = STR("default"),
            .type = STR("demo.note"),
            .type_version = 1,
            .payload = STR("{\"text\":\"bench\"}"),
            .trace = trace_new(),
        };
        jobs[i].root = jobs[i].id;
    }
    journal_write(&fill.journal, jobs, n, on_written, NULL);
}

static void on_queues(void *arg, struct err err) {
    (void)arg;
    if (err_is_set(err)) {
        die("queues", err.detail);
    }
    fill.began = tool_seconds();
    write_batch();
}

static void on_redis(void *arg) {
    (void)arg;
    queue_table_load(fill.queues, on_queues, NULL);
}

static void must(struct err e) {
    if (err_is_set(e)) {
        die("journal_fill", e.detail);
    }
}

int main(int argc, char **argv) {
    const struct pg_options o = {
        .url = option(argc, argv, "--postgres"),
        .user = option(argc, argv, "--user"),
        .password = option(argc, argv, "--password"),
        .application_name = "bench",
        .connections = 1,
        .max_waiting = WAITING_MAX,
        .connect_ms = STATEMENT_MS,
        .statement_ms = STATEMENT_MS,
    };
    fill.jobs = option_long(argc, argv, "--jobs", 10000);
    if (o.url == NULL || fill.jobs < 1) {
        die("journal_fill", "--postgres URL, --jobs N");
    }
    fill.ids.clock = &clock_system;
    must(loop_new(&fill.loop));
    must(pg_pool_new(fill.loop, &o, &fill.platform));
    must(queue_table_new(fill.platform, &fill.queues));
    fill.connection = redis_user_open(fill.loop, argc, argv, on_redis, NULL);
    fill.redis = redis_broker(fill.connection);
    fill.journal = (struct journal){.platform = fill.platform, .redis = &fill.redis, .queues = fill.queues};
    loop_run(fill.loop);
    pg_pool_close(fill.platform);
    redis_close(fill.connection);
    queue_table_free(fill.queues);
    loop_free(fill.loop);
    return 0;
}
