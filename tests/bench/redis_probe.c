/* redis_probe: what a job's life in Redis streams costs when nothing is wanted but speed. No header, no functions, no leases: the
 * reference of every Redis row.
 *   enqueue  XADD of 256 bytes, --batch at a time, each batch awaited; the entries stay
 *   consume  XREADGROUP --batch, XACK and XDEL of all of them, in one round trip with the next read; the stream is deleted at the end
 *   produce  XADD of one entry at a time, --rate a second for --seconds; a line "<us when it was to be sent> <job>" each
 *   work     like consume, waiting for entries; a line {"job":"…"} on standard error when a job is begun
 * enqueue and consume print one line of JSON. */
#include "resp.h"
#include "tool.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PAYLOAD_BYTES = 256, JOB_BYTES = 36, BATCH_MAX = 1024, ID_BYTES = 48 };

#define STREAM "probe:s"

static struct resp *redis, *control;
static long jobs, batch;

static void create(void) {
    resp_do(control, 2, (const char *const[]){"DEL", STREAM});
    resp_do(control, 6, (const char *const[]){"XGROUP", "CREATE", STREAM, "g", "0", "MKSTREAM"});
}

/* {"job":"<36 digits>","pad":"…"} */
static void put_entry(long number) {
    char payload[PAYLOAD_BYTES + 1];
    int n = snprintf(payload, sizeof payload, "{\"job\":\"%0*ld\",\"pad\":\"", JOB_BYTES, number);
    memset(payload + n, 'x', sizeof payload - (size_t)n);
    memcpy(payload + PAYLOAD_BYTES - 2, "\"}", 2);
    resp_begin(redis, 5);
    resp_text(redis, "XADD");
    resp_text(redis, STREAM);
    resp_text(redis, "*");
    resp_text(redis, "p");
    resp_bytes(redis, payload, PAYLOAD_BYTES);
}

struct cost {
    double began, cpu, server, bytes;
};

static struct cost begin(void) {
    return (struct cost){.bytes = resp_info(control, "memory", "used_memory"),
                         .server = resp_cpu_seconds(control),
                         .cpu = tool_cpu_seconds(),
                         .began = tool_seconds()};
}

static void end(const struct cost *from) {
    double wall = tool_seconds() - from->began, cpu = tool_cpu_seconds() - from->cpu;
    (void)printf("{\"jobs\":%ld,\"wall\":%.6f,\"cpu\":%.6f,\"server_cpu\":%.6f,\"bytes\":%.1f}\n", jobs, wall, cpu,
                 resp_cpu_seconds(control) - from->server,
                 (resp_info(control, "memory", "used_memory") - from->bytes) / (double)jobs);
}

static void enqueue(void) {
    create();
    struct cost cost = begin();
    for (long done = 0; done < jobs;) {
        long n = jobs - done < batch ? jobs - done : batch;
        for (long i = 0; i < n; i++) {
            put_entry(done + i);
        }
        resp_flush(redis);
        for (long i = 0; i < n; i++) {
            (void)resp_skip(redis);
        }
        done += n;
    }
    end(&cost);
}

struct taken {
    char id[ID_BYTES];
    size_t n;
};

static void put_read(void) {
    static const char *const before[] = {"XREADGROUP", "GROUP", "g", "c", "COUNT"};
    static const char *const after[] = {"BLOCK", "2000", "STREAMS", STREAM, ">"};
    resp_begin(redis, 11);
    for (size_t i = 0; i < 5; i++) {
        resp_text(redis, before[i]);
    }
    resp_number(redis, batch);
    for (size_t i = 0; i < 5; i++) {
        resp_text(redis, after[i]);
    }
}

static void say_begun(const char *payload) {
    char line[JOB_BYTES + 16];
    int n = snprintf(line, sizeof line, "{\"job\":\"%.*s\"}\n", JOB_BYTES, payload + strlen("{\"job\":\""));
    if (write(STDERR_FILENO, line, (size_t)n) != n) {
        die_errno("standard error");
    }
}

/* The answer to put_read: how many entries, none after its wait. */
static long take_read(struct taken *out, bool say) {
    if (resp_array(redis) < 0) {
        return 0;
    }
    size_t n;
    (void)resp_array(redis);
    (void)resp_string(redis, &n);
    long entries = resp_array(redis);
    for (long i = 0; i < entries; i++) {
        (void)resp_array(redis);
        const char *id = resp_string(redis, &n);
        if (id == NULL || n > ID_BYTES) {
            die("redis", "an entry without an id");
        }
        memcpy(out[i].id, id, n);
        out[i].n = n;
        (void)resp_array(redis);
        (void)resp_string(redis, &n);
        const char *payload = resp_string(redis, &n);
        if (say && payload != NULL) {
            say_begun(payload);
        }
    }
    return entries;
}

static void put_ids(const struct taken *ids, long n) {
    for (long i = 0; i < n; i++) {
        resp_bytes(redis, ids[i].id, ids[i].n);
    }
}

static void put_end(const struct taken *ids, long n) {
    resp_begin(redis, 3 + (size_t)n);
    resp_text(redis, "XACK");
    resp_text(redis, STREAM);
    resp_text(redis, "g");
    put_ids(ids, n);
    resp_begin(redis, 2 + (size_t)n);
    resp_text(redis, "XDEL");
    resp_text(redis, STREAM);
    put_ids(ids, n);
}

static void take_all(bool say) {
    struct taken *ids = must_alloc((size_t)batch, sizeof *ids);
    int owed = 0; /* answers to the end of the batch before */
    for (long done = 0; done < jobs;) {
        put_read();
        resp_flush(redis);
        for (; owed > 0; owed--) {
            (void)resp_skip(redis);
        }
        long n = take_read(ids, say);
        if (n > 0) {
            put_end(ids, n);
            owed = 2;
            done += n;
        }
    }
    resp_flush(redis);
    for (; owed > 0; owed--) {
        (void)resp_skip(redis);
    }
    free(ids);
}

static void consume(void) {
    struct cost cost = begin();
    take_all(false);
    end(&cost);
    resp_do(control, 2, (const char *const[]){"DEL", STREAM});
}

static void work(void) {
    create();
    (void)puts("ready");
    (void)fflush(stdout);
    take_all(true);
    resp_do(control, 2, (const char *const[]){"DEL", STREAM});
}

static void produce(long rate) {
    int64_t start = tool_wall_us() + 100000;
    int64_t *at = must_alloc((size_t)jobs, sizeof *at);
    for (long i = 0; i < jobs; i++) {
        at[i] = start + i * 1000000 / rate;
        tool_sleep_until(at[i]);
        put_entry(i);
        resp_flush(redis);
        (void)resp_skip(redis);
    }
    for (long i = 0; i < jobs; i++) {
        (void)printf("%lld %0*ld\n", (long long)at[i], JOB_BYTES, i);
    }
    free(at);
}

int main(int argc, char **argv) {
    const char *mode = argc > 1 ? argv[1] : "";
    long rate = option_long(argc, argv, "--rate", 1000);
    jobs = option_long(argc, argv, "--jobs", 100000);
    batch = option_long(argc, argv, "--batch", 64);
    if (jobs < 1 || rate < 1 || batch < 1 || batch > BATCH_MAX) {
        die("redis_probe", "--jobs, --rate or --batch out of range");
    }
    redis = resp_dial(argc, argv);
    control = resp_dial(argc, argv);
    if (strcmp(mode, "enqueue") == 0) {
        enqueue();
    } else if (strcmp(mode, "consume") == 0) {
        consume();
    } else if (strcmp(mode, "work") == 0) {
        work();
    } else if (strcmp(mode, "produce") == 0) {
        produce(rate);
    } else {
        die("redis_probe", "enqueue, consume, work or produce");
    }
    return 0;
}
