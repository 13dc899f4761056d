/* An API process, as thin as it can be: the calls of api/src/accept.c, enter.c, jobs_cancel.c and replay.c in their order, without HTTP and
 * batches; and the producers, who repeat with the same key until they are answered, and operators. */
#include "cluster.h"

#include "store.h"

#include <base/crypto.h>
#include <base/fault.h>
#include <jobs/attempt.h>
#include <queues/enqueue.h>
#include <queues/upkeep.h>
#include <stdlib.h>

enum { REQUESTS_MAX = 128, TRY_AGAIN_US = 1500000, TICK_US = 150000 };

struct request {
    enum sim_kind kind;
    bool stream_class, from_sql, answered;
    char key[16]; /* empty: none */
    unsigned shard;
    int64_t delay_ms;
    int64_t next_try_us;
};

static struct {
    struct request requests[REQUESTS_MAX];
    unsigned n, wanted, keys;
    struct event *tick;
} producers;

/* What an API process is asked to do: one of the three. */
struct asked {
    struct place_of_work *api;
    struct request *request;
    struct sim_job *job;
    void (*what)(struct asked *k);
    struct runtime *rt;
    const struct queue_info *queue;
    uint32_t generation;
};

static void asked_free(struct asked *k) { free(k); }

static const struct shard *shard_of(const struct asked *k) { return k->queue->shards[id_job_place(k->job->id).shard]; }

/* ---- acceptance ---- */

static void tell(struct asked *k, struct sim_job *job) {
    if (!k->api->actor->cut && !world_fault(world.weather.reply_loss) && job != NULL) {
        k->request->answered = true;
        job->acked = true;
        trace("%s is answered", k->request->key[0] != '\0' ? k->request->key : "a request");
    }
    asked_free(k);
}

static void on_placed(void *arg, struct err err) {
    struct asked *k = arg;
    (void)err; /* the relay's */
    tell(k, k->job);
}

static struct journal_job journal_job_of(const struct sim_job *j) {
    return (struct journal_job){.id = j->id,
                                .root = j->id,
                                .tenant = STR("acme"),
                                .queue = STR(SIM_QUEUE),
                                .type = str_c(j->type),
                                .type_version = (uint16_t)j->version,
                                .payload = STR("{}"),
                                .due = {j->due_ms},
                                .deadline = {j->deadline_ms}};
}

static void on_accepted(void *arg, struct err err, const PGresult *res) {
    struct asked *k = arg;
    struct uuid counts;
    if (err_is_set(err) || !pg_col_uuid(res, 0, 1, &counts)) {
        asked_free(k); /* the producer asks again */
        return;
    }
    FAILPOINT(ACCEPT_AFTER_COMMIT);
    if (!pg_col_bool(res, 0, 0)) {
        tell(k, book_job(counts));
    } else if (k->request->from_sql) {
        tell(k, k->job);
    } else {
        const struct journal_job job = journal_job_of(k->job);
        journal_place(&k->rt->journal, &job, 1, JOURNAL_PLACED, on_placed, k);
    }
}

static void accept_journal(struct asked *k) {
    const struct sim_job *j = k->job;
    char id[PG_UUID_BYTES], shard[PG_INT_BYTES], due[PG_INT_BYTES], deadline[PG_INT_BYTES];
    const struct pg_value values[] = {pg_uuid(j->id, id),      pg_text(str_c(k->request->key)),
                                      pg_text(str_c(j->type)), pg_int(k->request->shard, shard),
                                      pg_int(j->due_ms, due),  pg_int(j->deadline_ms, deadline)};
    FAILPOINT(ACCEPT_BEFORE_COMMIT);
    pg_exec(k->rt->platform, k->request->from_sql ? &sim_insert : &sim_accept, values, 0, 0, on_accepted, k);
}

static void on_entered(void *arg, struct err err, const struct queue_entered *verdicts, size_t n) {
    struct asked *k = arg;
    if (err_is_set(err) || n != 1 || verdicts[0].verdict == QUEUE_FULL) {
        asked_free(k);
        return;
    }
    FAILPOINT(STREAM_AFTER_ENQUEUE);
    if (verdicts[0].verdict == QUEUE_MISMATCH) {
        broken("key %s is another request's", k->request->key);
    }
    tell(k, book_job(verdicts[0].id));
}

static void hash_of(struct str text, uint8_t out[SHA256_BYTES]) {
    if (err_is_set(sha256(text, out))) {
        abort();
    }
}

static struct envelope envelope_of(const struct sim_job *j, uint32_t generation) {
    return (struct envelope){.schema_version = (uint16_t)j->version,
                             .id = j->id,
                             .root = j->id,
                             .generation = generation,
                             .deadline = {generation == 0 ? j->deadline_ms : 0},
                             .tenant = STR("acme"),
                             .type = str_c(j->type)};
}

static void enter(struct asked *k, uint32_t generation, struct str key, queue_enter_cb *cb) {
    uint8_t header[ENVELOPE_MAX_BYTES], hash[SHA256_BYTES];
    const struct envelope e = envelope_of(k->job, generation);
    struct queue_item item = {.header = str_of(header, envelope_encode(&e, header)),
                              .payload = STR("{}"),
                              .due = {generation == 0 ? k->job->due_ms : 0}};
    hash_of(key, hash);
    if (key.n > 0 && !FAULT_SWITCH(NO_DEDUPE)) {
        item.key_hash = str_of(hash, KEY_HASH_BYTES);
        item.body_hash = str_of(hash, BODY_HASH_BYTES);
    } else {
        item.key_hash = item.body_hash = STR("");
    }
    queue_enter(&k->rt->redis, shard_of(k), 1000, &item, 1, cb, k);
}

static void accept_request(struct asked *k) {
    struct request *q = k->request;
    struct id_maker *ids = &k->rt->ids;
    const struct job_place place = {.stream_class = q->stream_class, .queue_number = 1, .shard = (uint8_t)q->shard};
    k->job = book_new_job(id_new_job(ids, place), q->stream_class, q->kind);
    k->job->key = q->key[0] != '\0' ? book_key(str_c(q->key)) : NULL;
    k->job->due_ms = q->delay_ms != 0 ? world_wall_ms() + q->delay_ms : 0;
    k->job->deadline_ms = q->kind == KIND_EXPIRES ? world_wall_ms() + world_between(0, 4000) : 0;
    if (q->stream_class) {
        enter(k, 0, str_c(q->key), on_entered);
    } else {
        accept_journal(k);
    }
}

/* ---- operators ---- */

static void on_removed(void *arg, struct err err, bool removed) {
    struct asked *k = arg;
    if (k->job->stream_class && !err_is_set(err) && removed) {
        k->job->cancelled = true;
    }
    asked_free(k);
}

static void on_finished(void *arg, struct err err) {
    struct asked *k = arg;
    if (err_is_set(err)) {
        asked_free(k);
        return;
    }
    queue_cancel(&k->rt->redis, shard_of(k), k->job->id, STR(""), on_removed, k);
}

static void on_closed(void *arg, struct err err, const struct effect_row *row) {
    struct asked *k = arg;
    if (err_is_set(err) || row->outcome != OUTCOME_CANCELLED) {
        asked_free(k);
        return;
    }
    k->job->cancelled = true;
    const struct journal_end end = {
        .id = k->job->id, .generation = k->generation, .outcome = row->outcome, .status = row->status, .result = row->result};
    journal_finish(&k->rt->journal, &end, 1, on_finished, k);
}

static void cancel(struct asked *k) {
    k->job->cancel_wanted = true;
    if (k->job->stream_class) {
        queue_cancel(&k->rt->redis, shard_of(k), k->job->id, STR("cancelled 409 {}"), on_removed, k);
        return;
    }
    const struct row *r = store_row(k->job->id);
    if (r == NULL || r->state != ROW_WAITING) {
        asked_free(k);
        return;
    }
    k->generation = (uint32_t)r->generation;
    effect_close(&k->rt->modules[0], r->root, k->generation, OUTCOME_CANCELLED, 409, STR("{}"), on_closed, k);
}

static void on_marked(void *arg, struct err err, const PGresult *res) {
    (void)err;
    (void)res;
    asked_free(arg);
}

static void on_entered_again(void *arg, struct err err, const struct queue_entered *verdicts, size_t n) {
    struct asked *k = arg;
    if (err_is_set(err) || n != 1 || (verdicts[0].verdict != QUEUE_ACCEPTED && verdicts[0].verdict != QUEUE_KNOWN)) {
        asked_free(k);
        return;
    }
    char id[PG_UUID_BYTES], generation[PG_INT_BYTES];
    const struct pg_value values[] = {pg_uuid(k->job->id, id), pg_int(k->generation, generation)};
    pg_exec(k->rt->platform, &sim_replayed, values, 0, 0, on_marked, k);
}

static void on_dead(void *arg, struct err err, const PGresult *res) {
    struct asked *k = arg;
    char key[64], id[UUID_TEXT_BYTES];
    if (err_is_set(err) || PQntuples(res) == 0) {
        asked_free(k);
        return;
    }
    k->generation = (uint32_t)pg_col_int(res, 0, 0);
    uuid_text(k->job->id, id);
    (void)snprintf(key, sizeof key, "replay %s %u", id, k->generation);
    k->job->replayed = true;
    k->job->replays++;
    enter(k, k->generation, str_c(key), on_entered_again);
}

static void replay(struct asked *k) {
    char id[PG_UUID_BYTES];
    const struct pg_value value = pg_uuid(k->job->id, id);
    k->job->replayed = k->job->replayed || !k->job->stream_class;
    pg_exec(k->rt->platform, k->job->stream_class ? &sim_dead : &sim_replay, &value, 0, 0,
            k->job->stream_class ? on_dead : on_marked, k);
}

static void on_hastened(void *arg, struct err err, int64_t count) {
    (void)err;
    (void)count;
    asked_free(arg);
}

static void hasten(struct asked *k) { queue_due_now(&k->rt->redis, shard_of(k), k->job->id, on_hastened, k); }

/* ---- who asks ---- */

static void on_asked(void *arg) {
    struct asked *k = arg;
    k->rt = k->api->rt;
    k->queue = k->rt != NULL && k->api->actor->alive ? queue_table_find(k->rt->queues, STR(SIM_QUEUE)) : NULL;
    if (k->queue == NULL) {
        asked_free(k);
    } else {
        k->what(k);
    }
}

static void ask(struct request *request, struct sim_job *job, void (*what)(struct asked *k)) {
    struct place_of_work *api = cluster_api();
    if (api != NULL) {
        struct asked *k = sim_new(sizeof *k);
        *k = (struct asked){.api = api, .request = request, .job = job, .what = what};
        world_after_owned(world_latency_us(), api->actor, on_asked, k);
    }
}

static struct sim_job *any_job(bool dead) {
    unsigned n = HASH_COUNT(book_jobs()), skip = n > 0 ? (unsigned)world_random(n) : 0;
    struct sim_job *j = book_jobs();
    for (; j != NULL && skip > 0; skip--) {
        j = j->hh.next;
    }
    for (; dead && j != NULL; j = j->hh.next) {
        const struct dead_row *d = store_dead(j->id);
        if (d != NULL && !d->replayed) {
            return j;
        }
    }
    return j;
}

static void operate(void) {
    struct sim_job *j;
    if (world_chance(0.06) && (j = any_job(false)) != NULL) {
        ask(NULL, j, cancel);
    }
    if (world_chance(0.2) && (j = any_job(true)) != NULL) {
        ask(NULL, j, replay);
    }
    if (world_chance(0.03) && (j = any_job(false)) != NULL) {
        ask(NULL, j, hasten);
    }
}

static void new_request(void) {
    struct request *q = &producers.requests[producers.n++];
    *q = (struct request){.stream_class = world_chance(0.4), .kind = KIND_PLAIN, .shard = (unsigned)world_random(book_shards())};
    if (world_chance(0.6)) {
        q->kind = (enum sim_kind)world_random(q->stream_class ? KIND_NEXT : KIND_MAX);
    }
    if (q->kind == KIND_POISON && !world.poisoned) {
        q->kind = KIND_PLAIN;
    }
    if (world_chance(0.25)) {
        q->delay_ms = world_between(1, 8000);
    }
    q->from_sql = !q->stream_class && world_chance(0.15);
    if (!q->from_sql && world_chance(0.8)) {
        (void)snprintf(q->key, sizeof q->key, "key-%u", ++producers.keys);
    }
}

static void on_tick(void *arg) {
    (void)arg;
    if (producers.n < producers.wanted && world_chance(0.5)) {
        new_request();
    }
    for (unsigned i = 0; i < producers.n; i++) {
        struct request *q = &producers.requests[i];
        if (!q->answered && q->next_try_us <= world.now_us) {
            q->next_try_us = world.now_us + TRY_AGAIN_US;
            ask(q, NULL, accept_request);
        }
    }
    if (!world.calm) {
        operate();
    }
    world_after(TICK_US, NULL, on_tick, NULL, &producers.tick);
}

void producers_begin(unsigned requests) {
    memset(&producers, 0, sizeof producers);
    producers.wanted = requests < REQUESTS_MAX ? requests : REQUESTS_MAX;
    on_tick(NULL);
}

void producers_end(void) { world_cancel(&producers.tick); }

bool producers_are_done(void) {
    for (unsigned i = 0; i < producers.n; i++) {
        if (!producers.requests[i].answered) {
            return false;
        }
    }
    return producers.n == producers.wanted;
}
