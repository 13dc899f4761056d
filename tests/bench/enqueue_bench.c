/* enqueue_bench: a producer of stream-class jobs, by the call that the API makes for them (queues/enqueue.h). Everything that is done for
 * a job is in the time: its id, its trace, its header, with a key also the hashes of key and body.
 *   bulk   --jobs in calls of --batch, each awaited; --keyed 1 gives each job a key of its own; of a thousand jobs the traces of --sampled
 *          are recorded; one line of JSON
 *   paced  one job a call, --rate a second; a line "<us when it was to be sent, with --delay ms: when it is due> <job>" each
 * --type and --payload say what the jobs are: by default 256 bytes for demo.noop. */
#include "redis_user.h"
#include "tool.h"

#include <base/crypto.h>
#include <base/limits.h>
#include <io/poll.h>
#include <queues/enqueue.h>
#include <queues/envelope.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { PAYLOAD_BYTES = 256, DEPTH_LIMIT = 100000000, KEY_BYTES = 48 };

struct sent {
    int64_t at_us;
    struct uuid id;
};

static struct {
    struct loop *loop;
    struct redis *connection;
    struct broker redis;
    struct shard shard;
    struct id_maker ids;
    struct str type, payload;
    char key_prefix[2 * 8 + 1];
    long jobs, batch, rate, delay, sampled, begun, done;
    bool keyed;
    double began, cpu;
    /* paced */
    struct poll *ticks; /* a timerfd: the loop's timers count whole milliseconds */
    int64_t start_us;
    struct sent *sent;
} bench;

/* What a producer makes of a job. Its room is the caller's, until the call is sent. */
struct made {
    uint8_t header[ENVELOPE_MAX_BYTES];
    uint8_t key[SHA256_BYTES], body[SHA256_BYTES];
};

static void hash(const struct str *parts, size_t n, uint8_t out[SHA256_BYTES]) {
    struct err e = sha256_parts(parts, n, out);
    if (err_is_set(e)) {
        die("sha256", e.detail);
    }
}

static struct uuid make(long number, const struct trace *call, struct made *m, struct queue_item *out) {
    const struct job_place place = {.stream_class = true};
    struct envelope e = {.schema_version = 1,
                         .id = id_new_job(&bench.ids, place),
                         .trace = trace_child(call),
                         .tenant = STR("default"),
                         .type = bench.type};
    e.root = e.id;
    e.trace.flags &= (uint8_t)(number * bench.sampled % 1000 < bench.sampled ? 0xff : 0xfe);
    *out = (struct queue_item){.header = str_of(m->header, envelope_encode(&e, m->header)),
                               .payload = bench.payload,
                               .key_hash = STR(""),
                               .body_hash = STR("")};
    if (bench.keyed) {
        char text[KEY_BYTES];
        int n = snprintf(text, sizeof text, "%s-%ld", bench.key_prefix, number);
        const struct str key[] = {e.tenant, str_of("", 1), str_of(text, (size_t)n)};
        hash(key, 3, m->key);
        hash(&bench.payload, 1, m->body);
        out->key_hash = str_of(m->key, KEY_HASH_BYTES);
        out->body_hash = str_of(m->body, BODY_HASH_BYTES);
    }
    return e.id;
}

static void check(struct err err, const struct queue_entered *verdicts, size_t n) {
    if (err_is_set(err)) {
        die("enqueue", err.detail);
    }
    for (size_t i = 0; i < n; i++) {
        if (verdicts[i].verdict != QUEUE_ACCEPTED) {
            die("enqueue", verdicts[i].verdict == QUEUE_FULL ? "the queue is full" : "a job was not new");
        }
    }
}

static void send_batch(void);

static void on_batch(void *arg, struct err err, const struct queue_entered *verdicts, size_t n) {
    (void)arg;
    check(err, verdicts, n);
    bench.done += (long)n;
    if (bench.done < bench.jobs) {
        send_batch();
        return;
    }
    (void)printf("{\"jobs\":%ld,\"wall\":%.6f,\"cpu\":%.6f}\n", bench.jobs, tool_seconds() - bench.began,
                 tool_cpu_seconds() - bench.cpu);
    loop_stop(bench.loop);
}

static void send_batch(void) {
    struct queue_item items[LIMIT_BATCH];
    struct made made[LIMIT_BATCH];
    long left = bench.jobs - bench.done, n = left < bench.batch ? left : bench.batch;
    struct trace call = trace_new();
    for (long i = 0; i < n; i++) {
        (void)make(bench.done + i, &call, &made[i], &items[i]);
    }
    queue_enter(&bench.redis, &bench.shard, DEPTH_LIMIT, items, (size_t)n, on_batch, NULL);
}

static void on_one(void *arg, struct err err, const struct queue_entered *verdicts, size_t n) {
    (void)arg;
    check(err, verdicts, n);
    if (++bench.done == bench.jobs) {
        loop_stop(bench.loop);
    }
}

static void send_one(void) {
    struct made made;
    struct queue_item item;
    struct trace call = trace_new();
    struct uuid id = make(bench.begun, &call, &made, &item);
    int64_t at_us = bench.start_us + bench.begun * 1000000 / bench.rate;
    if (bench.delay > 0) {
        item.due = (struct wall){at_us / 1000 + bench.delay};
        at_us = item.due.ms * 1000;
    }
    bench.sent[bench.begun] = (struct sent){at_us, id};
    bench.begun++;
    queue_enter(&bench.redis, &bench.shard, DEPTH_LIMIT, &item, 1, on_one, NULL);
}

/* As many jobs as became due since the last time. */
static void on_tick(void *arg, int events) {
    uint64_t due = 0;
    (void)arg;
    (void)events;
    if (read(poll_fd(bench.ticks), &due, sizeof due) != (ssize_t)sizeof due) {
        return;
    }
    for (; due > 0 && bench.begun < bench.jobs; due--) {
        send_one();
    }
}

static void start_bulk(void *arg) {
    (void)arg;
    bench.began = tool_seconds();
    bench.cpu = tool_cpu_seconds();
    send_batch();
}

static void start_paced(void *arg) {
    (void)arg;
    bench.start_us = tool_wall_us() + 100000;
    const struct itimerspec ticks = {
        .it_value = {bench.start_us / 1000000, bench.start_us % 1000000 * 1000},
        .it_interval = {0, 1000000000 / bench.rate},
    };
    if (timerfd_settime(poll_fd(bench.ticks), TFD_TIMER_ABSTIME, &ticks, NULL) != 0) {
        die_errno("timerfd");
    }
}

static void say_sent(void) {
    char text[UUID_TEXT_BYTES];
    for (long i = 0; i < bench.jobs; i++) {
        uuid_text(bench.sent[i].id, text);
        (void)printf("%lld %s\n", (long long)bench.sent[i].at_us, text);
    }
}

static void must(struct err e) {
    if (err_is_set(e)) {
        die("enqueue_bench", e.detail);
    }
}

static void set_up(int argc, char **argv) {
    static char pad[PAYLOAD_BYTES + 1];
    uint8_t random[8];
    int n = snprintf(pad, sizeof pad, "{\"pad\":\"");
    memset(pad + n, 'x', PAYLOAD_BYTES - (size_t)n);
    memcpy(pad + PAYLOAD_BYTES - 2, "\"}", 2);
    const char *type = option(argc, argv, "--type"), *payload = option(argc, argv, "--payload");
    bench.type = type != NULL ? str_c(type) : STR("demo.noop");
    bench.payload = payload != NULL ? str_c(payload) : str_of(pad, PAYLOAD_BYTES);
    bench.jobs = option_long(argc, argv, "--jobs", 100000);
    bench.batch = option_long(argc, argv, "--batch", 50);
    bench.rate = option_long(argc, argv, "--rate", 1000);
    bench.delay = option_long(argc, argv, "--delay", 0);
    bench.sampled = option_long(argc, argv, "--sampled", 1000);
    bench.keyed = option_long(argc, argv, "--keyed", 0) != 0;
    if (bench.jobs < 1 || bench.rate < 2 || bench.batch < 1 || bench.batch > LIMIT_BATCH) {
        die("enqueue_bench", "--jobs, --rate or --batch out of range");
    }
    bench.ids.clock = &clock_system;
    crypto_random(random, sizeof random);
    hex_encode(random, sizeof random, bench.key_prefix);
    bench.sent = must_alloc((size_t)bench.jobs, sizeof *bench.sent);
    must(shard_init(&bench.shard, STR("default"), 0));
    must(loop_new(&bench.loop));
    int fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
    if (fd < 0) {
        die_errno("timerfd");
    }
    must(poll_new(bench.loop, fd, on_tick, NULL, &bench.ticks));
    poll_watch(bench.ticks, POLL_READ);
}

int main(int argc, char **argv) {
    bool paced = argc > 1 && strcmp(argv[1], "paced") == 0;
    if (!paced && (argc < 2 || strcmp(argv[1], "bulk") != 0)) {
        die("enqueue_bench", "bulk or paced");
    }
    set_up(argc, argv);
    bench.connection = redis_user_open(bench.loop, argc, argv, paced ? start_paced : start_bulk, NULL);
    bench.redis = redis_broker(bench.connection);
    loop_run(bench.loop);
    if (paced) {
        say_sent();
    }
    poll_free(bench.ticks);
    redis_close(bench.connection);
    loop_free(bench.loop);
    free(bench.sent);
    return 0;
}
