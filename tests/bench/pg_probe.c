/* pg_probe: what the effect of a job costs in Postgres when nothing is around it: the statements of demo.note and of the journal, sent by
 * a bare pipelined client. They are copies (jobs/custom/src/demo.c, jobs/src/journal.c): a change there belongs here too.
 *   batch  the effects of --batch jobs in one transaction, then one statement that finishes them, in a transaction of its own that
 *          travels with the next batch's effects
 *   paced  one effect a transaction, --rate a second, from the moment at which it was to be sent to the answer to its commit; a line
 *          "<us>" each
 * Reads the ids of the jobs, whose rows must exist, from standard input, a line each. --url, a connection string. */
#include "tool.h"

#include <jobs/module_sql.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH_MAX = 256, UUID_BYTES = 37, ARRAY_BYTES = BATCH_MAX * 48, ARRAYS = 8 };

#define RESULT "{\"noted\":true}"
#define TEXT "bench"

static const char effect_sql[] = EFFECT_GATE(
    "custom") ", n AS (INSERT INTO custom.note (root_id, text) SELECT root_id, $7::text FROM g)" EFFECT_ANSWER("custom");

static const char finish_sql[] =
    "WITH d AS (SELECT * FROM unnest($1::uuid[], $2::int[], $3::text[], $4::int[], $5::bytea[], $6::int[], $7::text[], $8::text[]) "
    "AS t(id, generation, outcome, status, result, attempts, errors, fingerprint)), "
    "u AS (UPDATE platform.job j SET state = d.outcome, finished_at = now(), result_status = d.status, result = d.result "
    "FROM d WHERE j.id = d.id AND j.generation = d.generation AND j.state = 'waiting' RETURNING j.*) "
    "INSERT INTO platform.dead_job (id, root_id, generation, class, tenant, queue, type, type_version, payload, attempts, errors, "
    "fingerprint, traceparent) SELECT u.id, u.root_id, u.generation, 'journal', u.tenant, u.queue, u.type, u.type_version, u.payload, "
    "d.attempts, d.errors::jsonb, d.fingerprint, u.traceparent FROM u JOIN d USING (id) WHERE d.outcome = 'dead' "
    "ON CONFLICT (id) DO UPDATE SET generation = excluded.generation, attempts = excluded.attempts, errors = excluded.errors, "
    "fingerprint = excluded.fingerprint, died_at = now(), replayed_at = NULL, discarded_at = NULL";

static PGconn *pg;
static char (*ids)[UUID_BYTES];
static long jobs, batch;

static void die_pg(void) { die("postgres", PQerrorMessage(pg)); }

static void prepare(const char *name, const char *sql) {
    PGresult *res = PQprepare(pg, name, sql, 0, NULL);
    if (PQresultStatus(res) != PGRES_COMMAND_OK) {
        die_pg();
    }
    PQclear(res);
}

static void dial(const char *url) {
    pg = PQconnectdb(url);
    if (PQstatus(pg) != CONNECTION_OK) {
        die_pg();
    }
    prepare("effect", effect_sql);
    prepare("finish", finish_sql);
    if (PQenterPipelineMode(pg) != 1) {
        die_pg();
    }
}

static void read_ids(void) {
    ids = must_alloc((size_t)jobs, sizeof *ids);
    for (long i = 0; i < jobs; i++) {
        if (scanf("%36s", ids[i]) != 1) {
            die("pg_probe", "fewer ids than jobs");
        }
    }
}

static void put_effect(long job) {
    const char *values[] = {ids[job], "", "0", "done", "200", RESULT, TEXT};
    static const int lengths[] = {0, 0, 0, 0, 0, sizeof RESULT - 1, 0}, formats[] = {0, 0, 0, 0, 0, 1, 0};
    if (PQsendQueryPrepared(pg, "effect", 7, values, lengths, formats, 0) != 1) {
        die_pg();
    }
}

static void put_sync(void) {
    if (PQpipelineSync(pg) != 1) {
        die_pg();
    }
}

/* '{value,value,…}' */
static void repeat(char *out, const char *value, long n) {
    size_t at = 0;
    for (long i = 0; i < n; i++) {
        at += (size_t)snprintf(out + at, ARRAY_BYTES - at, "%c%s", i == 0 ? '{' : ',', value);
    }
    (void)snprintf(out + at, ARRAY_BYTES - at, "}");
}

static void put_finish(long first, long n) {
    static char arrays[ARRAYS][ARRAY_BYTES];
    static const char *const same[ARRAYS] = {NULL, "0",      "done", "200", "\"\\\\x7b226e6f746564223a747275657d\"",
                                             "0",  "\"[]\"", "\"\""};
    const char *values[ARRAYS];
    size_t at = 0;
    for (long i = 0; i < n; i++) {
        at += (size_t)snprintf(arrays[0] + at, ARRAY_BYTES - at, "%c%s", i == 0 ? '{' : ',', ids[first + i]);
    }
    (void)snprintf(arrays[0] + at, ARRAY_BYTES - at, "}");
    for (int a = 0; a < ARRAYS; a++) {
        if (same[a] != NULL) {
            repeat(arrays[a], same[a], n);
        }
        values[a] = arrays[a];
    }
    if (PQsendQueryPrepared(pg, "finish", ARRAYS, values, NULL, NULL, 0) != 1) {
        die_pg();
    }
    put_sync();
}

static long rows; /* that the effects answered */

/* Takes answers until so many transactions have ended. */
static void take(long syncs) {
    while (syncs > 0) {
        PGresult *res = PQgetResult(pg);
        ExecStatusType status = PQresultStatus(res);
        if (res != NULL && status != PGRES_PIPELINE_SYNC && status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
            die_pg();
        }
        rows += status == PGRES_TUPLES_OK ? PQntuples(res) : 0;
        syncs -= res != NULL && status == PGRES_PIPELINE_SYNC;
        PQclear(res);
    }
}

static void run_batches(void) {
    double began = tool_seconds(), cpu = tool_cpu_seconds();
    long before = 0;
    for (long first = 0; first < jobs; first += batch) {
        long n = jobs - first < batch ? jobs - first : batch;
        for (long i = 0; i < n; i++) {
            put_effect(first + i);
        }
        put_sync();
        if (before > 0) {
            put_finish(first - before, before);
        }
        take(before > 0 ? 2 : 1);
        before = n;
    }
    put_finish(jobs - before, before);
    take(1);
    if (rows != jobs) {
        die("pg_probe", "not every effect was answered by its row");
    }
    (void)printf("{\"jobs\":%ld,\"wall\":%.6f,\"cpu\":%.6f}\n", jobs, tool_seconds() - began, tool_cpu_seconds() - cpu);
}

struct pace {
    int64_t start_us, *took_us;
    long rate, sent, done;
};

static int64_t due_us(const struct pace *p, long job) { return p->start_us + job * 1000000 / p->rate; }

/* Microseconds until the next one is due; 0 when none is left. */
static int64_t send_due(struct pace *p) {
    while (p->sent < jobs) {
        int64_t early = due_us(p, p->sent) - tool_wall_us();
        if (early > 0) {
            return early;
        }
        put_effect(p->sent++);
        put_sync();
    }
    return 0;
}

static void take_ready(struct pace *p) {
    while (p->done < p->sent && PQisBusy(pg) == 0) {
        PGresult *res = PQgetResult(pg);
        ExecStatusType status = PQresultStatus(res);
        if (res != NULL && status == PGRES_PIPELINE_SYNC) {
            p->took_us[p->done] = tool_wall_us() - due_us(p, p->done);
            p->done++;
        } else if (res != NULL && status != PGRES_TUPLES_OK) {
            die_pg();
        }
        PQclear(res);
    }
}

static void run_paced(long rate) {
    struct pollfd readable = {.fd = PQsocket(pg), .events = POLLIN};
    struct pace p = {.start_us = tool_wall_us() + 100000, .took_us = must_alloc((size_t)jobs, sizeof *p.took_us), .rate = rate};
    while (p.done < jobs) {
        int64_t wait = send_due(&p);
        const struct timespec timeout = {.tv_sec = wait / 1000000, .tv_nsec = wait % 1000000 * 1000};
        if (PQflush(pg) < 0 || ppoll(&readable, 1, wait > 0 ? &timeout : NULL, NULL) < 0) {
            die_pg();
        }
        if ((readable.revents & POLLIN) != 0 && PQconsumeInput(pg) != 1) {
            die_pg();
        }
        take_ready(&p);
    }
    for (long i = 0; i < jobs; i++) {
        (void)printf("%lld\n", (long long)p.took_us[i]);
    }
    free(p.took_us);
}

int main(int argc, char **argv) {
    bool paced = argc > 1 && strcmp(argv[1], "paced") == 0;
    const char *url = option(argc, argv, "--url");
    long rate = option_long(argc, argv, "--rate", 500);
    jobs = option_long(argc, argv, "--jobs", 1000);
    batch = option_long(argc, argv, "--batch", 64);
    if (url == NULL || jobs < 1 || rate < 1 || batch < 1 || batch > BATCH_MAX ||
        (!paced && (argc < 2 || strcmp(argv[1], "batch") != 0))) {
        die("pg_probe", "batch or paced, --url; --jobs, --batch and --rate in range");
    }
    read_ids();
    dial(url);
    if (paced) {
        run_paced(rate);
    } else {
        run_batches();
    }
    PQfinish(pg);
    free(ids);
    return 0;
}
