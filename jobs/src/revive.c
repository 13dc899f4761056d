#include <jobs/revive.h>

#include <base/crypto.h>
#include <base/metrics.h>
#include <queues/enqueue.h>
#include <queues/envelope.h>

static bool read_dead(const PGresult *res, int row, struct arena *a, struct envelope *out, struct str *out_payload) {
    struct envelope e = {
        .schema_version = (uint16_t)pg_col_int(res, row, 6),
        .generation = (uint32_t)pg_col_int(res, row, 2),
        .tenant = pg_col(res, row, 3),
        .type = pg_col(res, row, 5),
    };
    struct str payload = pg_col_bytes(res, row, 7, a);
    if (!pg_col_uuid(res, row, 0, &e.id) || !pg_col_uuid(res, row, 1, &e.root) || payload.p == NULL) {
        return false;
    }
    if (!trace_parse(pg_col(res, row, 8), &e.trace)) {
        e.trace = trace_new();
    }
    *out = e;
    *out_payload = payload;
    return true;
}

static void on_entered(void *arg, struct err err, const struct queue_entered *verdicts, size_t n) {
    struct revival *v = arg;
    v->err = err;
    v->entered = !err_is_set(err) && n == 1 && (verdicts[0].verdict == QUEUE_ACCEPTED || verdicts[0].verdict == QUEUE_KNOWN);
    if (v->entered) {
        metric_inc(M_JOBS_ENQUEUED, v->queue.p, v->type.p, "replay");
    }
    v->done(v);
}

bool revive(struct revival *v, struct runtime *rt, struct arena *a, const PGresult *res, int row) {
    const struct queue_info *q = queue_table_find(rt->queues, pg_col(res, row, 4));
    struct envelope header;
    struct queue_item item = {.payload = STR_NONE};
    uint8_t bytes[ENVELOPE_MAX_BYTES], hash[SHA256_BYTES];
    if (q == NULL || !read_dead(res, row, a, &header, &item.payload)) {
        return false;
    }
    unsigned shard = id_job_place(header.id).shard;
    const struct str parts[] = {STR("replay"), str_of(header.id.b, sizeof header.id.b),
                                str_of(&header.generation, sizeof header.generation)};
    v->id = header.id;
    v->generation = header.generation;
    v->queue = str_c(q->name);
    v->type = arena_str(a, header.type);
    if (shard >= q->shards_n || v->type.p == NULL || err_is_set(sha256_parts(parts, 3, hash))) {
        return false;
    }
    item.header = str_of(bytes, envelope_encode(&header, bytes));
    item.key_hash = str_of(hash, KEY_HASH_BYTES);
    item.body_hash = str_of(hash, BODY_HASH_BYTES);
    queue_enter(&rt->redis, q->shards[shard], q->max_depth, &item, 1, on_entered, v);
    return true;
}
