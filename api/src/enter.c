/* Acceptance of stream-class jobs: one Function call per shard and turn of the loop. */
#include <base/fault.h>
#include <jobs/sending.h>
#include <queues/enqueue.h>
#include <queues/envelope.h>
#include <queues/version.h>
#include <stdlib.h>

#include "accept.h"
#include "server.h"

struct enter {
    struct api *api;
    struct acceptance_list waiting;
    struct turn_end flush;
};

/* One call. */
struct group {
    size_t n;
    struct mono began;
    struct acceptance *rows[LIMIT_BATCH];
};

static void record(const struct group *g, struct err err) {
    const struct trace *of[LIMIT_BATCH];
    if (!span_is_on()) {
        return;
    }
    for (size_t i = 0; i < g->n; i++) {
        of[i] = &g->rows[i]->trace;
    }
    sending_record_call(FUNCTION_NAME("enqueue"), of, g->n, g->began, err);
}

static void on_entered(void *arg, struct err err, const struct queue_entered *verdicts, size_t n) {
    static const enum acceptance_verdict meaning[] = {
        [QUEUE_KNOWN] = ACCEPTED_KNOWN, [QUEUE_ACCEPTED] = ACCEPTED_FRESH, [QUEUE_MISMATCH] = ACCEPTED_MISMATCH};
    struct group *g = arg;
    if (!err_is_set(err)) {
        FAILPOINT(STREAM_AFTER_ENQUEUE);
    }
    record(g, err);
    for (size_t i = 0; i < g->n; i++) {
        struct acceptance *a = g->rows[i];
        if (err_is_set(err) || i >= n) {
            acceptance_tell(a, ACCEPTED_FAILED, err);
        } else if (verdicts[i].verdict == QUEUE_FULL) {
            acceptance_tell(a, ACCEPTED_FULL, OK);
        } else {
            a->known_id = verdicts[i].id;
            a->known_estimate_s = a->estimate_s;
            acceptance_tell(a, meaning[verdicts[i].verdict], OK);
        }
        call_release(a->call);
    }
    free(g);
}

static struct envelope envelope_of(const struct acceptance *a) {
    return (struct envelope){
        .schema_version = a->type->version,
        .id = a->id,
        .root = a->id,
        .deadline = a->deadline,
        .trace = a->trace,
        .tenant = str_c(a->call->who.tenant),
        .type = str_c(a->type->name),
    };
}

static bool is_of(const struct acceptance *a, const struct queue_info *q, unsigned shard) {
    return a->queue == q && id_job_place(a->id).shard == shard;
}

/* Takes everything for the first one's shard, up to a batch, off the list. */
static void take(struct enter *s, struct group *g) {
    struct acceptance_list rest = STAILQ_HEAD_INITIALIZER(rest);
    const struct acceptance *first = STAILQ_FIRST(&s->waiting);
    const struct queue_info *q = first->queue;
    unsigned shard = id_job_place(first->id).shard;
    struct acceptance *a;
    while ((a = STAILQ_FIRST(&s->waiting)) != NULL) {
        STAILQ_REMOVE_HEAD(&s->waiting, link);
        if (g->n < LIMIT_BATCH && is_of(a, q, shard)) {
            g->rows[g->n++] = a;
        } else {
            STAILQ_INSERT_TAIL(&rest, a, link);
        }
    }
    STAILQ_CONCAT(&s->waiting, &rest);
}

static void send(struct enter *s, struct group *g) {
    struct queue_item items[LIMIT_BATCH];
    uint8_t headers[ENVELOPE_BATCH_BYTES], *header = headers;
    const struct queue_info *q = g->rows[0]->queue;
    unsigned shard = id_job_place(g->rows[0]->id).shard;
    for (size_t i = 0; i < g->n; i++) {
        struct acceptance *a = g->rows[i];
        struct envelope e = envelope_of(a);
        bool keyed = a->key.p != NULL && !FAULT_SWITCH(NO_DEDUPE);
        items[i] = (struct queue_item){
            .header = str_of(header, envelope_encode(&e, header)),
            .payload = a->payload,
            .due = a->due,
            .key_hash = keyed ? str_of(a->key_hash, KEY_HASH_BYTES) : STR(""),
            .body_hash = str_of(a->fingerprint, BODY_HASH_BYTES),
        };
        header += items[i].header.n;
    }
    g->began = clock_mono(&clock_system);
    queue_enter(&s->api->rt->redis, q->shards[shard], q->max_depth, items, g->n, on_entered, g);
}

static void fail_all(struct enter *s, struct err err) {
    struct acceptance *a;
    while ((a = STAILQ_FIRST(&s->waiting)) != NULL) {
        STAILQ_REMOVE_HEAD(&s->waiting, link);
        acceptance_tell(a, ACCEPTED_FAILED, err);
        call_release(a->call);
    }
}

static void flush(void *arg) {
    struct enter *s = arg;
    while (!STAILQ_EMPTY(&s->waiting)) {
        struct group *g = calloc(1, sizeof *g);
        if (g == NULL) {
            fail_all(s, err_make(ERR_NOMEM, "acceptance"));
            return;
        }
        take(s, g);
        send(s, g);
    }
}

void enter_add(struct enter *s, struct acceptance *a) {
    call_hold(a->call);
    STAILQ_INSERT_TAIL(&s->waiting, a, link);
    loop_at_turn_end(s->api->rt->loop, &s->flush);
}

struct err enter_new(struct api *api, struct enter **out) {
    struct enter *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return err_make(ERR_NOMEM, "acceptance");
    }
    s->api = api;
    s->flush = (struct turn_end){.run = flush, .arg = s};
    STAILQ_INIT(&s->waiting);
    *out = s;
    return OK;
}

void enter_stop(struct enter *s) {
    if (s != NULL) {
        loop_cancel_turn_end(s->api->rt->loop, &s->flush);
        fail_all(s, err_make(ERR_CLOSED, "closing"));
    }
}

void enter_free(struct enter *s) { free(s); }
