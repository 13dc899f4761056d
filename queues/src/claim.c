#include <queues/quarantine.h>

#include "call.h"

#include <stdlib.h>

/* What waits for entries, claimed or swept: the room for them is here, so that a reply is never lost for want of memory. */
struct claim_call {
    queue_claim_cb *claim_cb; /* one of the three */
    queue_sweep_cb *sweep_cb;
    queue_lone_cb *lone_cb;
    void *arg;
    const struct shard *shards[LIMIT_SHARDS];
    size_t shards_n, n, room;
    struct claimed entries[];
};

/* Fields other than h and p do not come from us, nor an entry without them: it is passed on without a header, which nobody
 * can decode, and so it is buried instead of staying in everybody's way. Nil fields (an entry deleted while it was pending)
 * likewise: burying it finds nothing there. */
static void read_fields(const struct reply *fields, struct claimed *out) {
    for (size_t i = 0; i + 1 < reply_len(fields); i += 2) {
        struct str name = reply_str(fields->element[i]);
        if (str_is(name, "h")) {
            out->header = reply_str(fields->element[i + 1]);
        } else if (str_is(name, "p")) {
            out->payload = reply_str(fields->element[i + 1]);
        }
    }
}

static bool read_entries(struct claim_call *call, const struct shard *shard, const struct reply *list) {
    if (list == NULL || list->type != REPLY_ARRAY || list->elements > call->room - call->n) {
        return false;
    }
    for (size_t i = 0; i < list->elements; i++) {
        struct claimed *e = &call->entries[call->n];
        *e = (struct claimed){.header = STR(""), .payload = STR(""), .shard = shard};
        if (!reply_read_id(reply_at(list->element[i], 0), &e->id)) {
            return false;
        }
        read_fields(reply_at(list->element[i], 1), e);
        call->n++;
    }
    return true;
}

static const struct shard *shard_of(const struct claim_call *call, const struct reply *key) {
    struct str name = reply_str(key);
    for (size_t i = 0; i < call->shards_n; i++) {
        if (str_eq(name, call->shards[i]->key[KEY_STREAM])) {
            return call->shards[i];
        }
    }
    return NULL;
}

static bool read_streams(struct claim_call *call, const struct reply *r) {
    if (r != NULL && r->type == REPLY_NIL) {
        return true; /* nothing came while it blocked */
    }
    if (r == NULL || r->type != REPLY_ARRAY) {
        return false;
    }
    for (size_t i = 0; i < r->elements; i++) {
        const struct shard *shard = shard_of(call, reply_at(r->element[i], 0));
        if (shard == NULL || !read_entries(call, shard, reply_at(r->element[i], 1))) {
            return false;
        }
    }
    return true;
}

static struct claim_call *claim_call_new(size_t count, size_t shards_n, struct err *out_why) {
    size_t room = count * shards_n;
    struct claim_call *call = call_context(count, sizeof *call + room * sizeof call->entries[0], out_why);
    if (call != NULL) {
        call->room = room;
        call->shards_n = shards_n;
    }
    return call;
}

static void on_claim(void *context, struct err err, const struct reply *r) {
    struct claim_call *call = context;
    if (!err_is_set(err) && !read_streams(call, r)) {
        err = reply_unexpected("XREADGROUP");
    }
    call->claim_cb(call->arg, err, call->entries, err_is_set(err) ? 0 : call->n);
    free(call);
}

/* A server that is silent for longer than a few blocking times is gone (protocol.md 1.1: a lost unblock took two). */
static int64_t claim_deadline(int64_t block_ms) { return block_ms > 0 ? 3 * block_ms + 1000 : 0; }

void queue_claim(const struct broker *reader, const struct shard *const *shards, size_t shards_n, struct str consumer,
                 size_t count, int64_t block_ms, queue_claim_cb *cb, void *arg) {
    struct err why = {ERR_INVALID, "no shards to read, or too many"};
    struct claim_call *call = NULL;
    if (shards_n >= 1 && shards_n <= LIMIT_SHARDS) {
        call = claim_call_new(count, shards_n, &why);
    }
    if (call == NULL) {
        cb(arg, why, NULL, 0);
        return;
    }
    call->claim_cb = cb;
    call->arg = arg;
    struct call c;
    call_begin(&c, STR("XREADGROUP"));
    call_add(&c, STR("GROUP"));
    call_add(&c, STR(GROUP));
    call_add(&c, consumer);
    call_add(&c, STR("COUNT"));
    call_add_int(&c, (int64_t)count);
    if (block_ms > 0) {
        call_add(&c, STR("BLOCK"));
        call_add_int(&c, block_ms);
    }
    call_add(&c, STR("STREAMS"));
    for (size_t i = 0; i < shards_n; i++) {
        call->shards[i] = shards[i];
        call_add(&c, shards[i]->key[KEY_STREAM]);
    }
    for (size_t i = 0; i < shards_n; i++) {
        call_add(&c, STR(">"));
    }
    call_send(&c, reader, claim_deadline(block_ms), on_claim, call);
}

static void on_sweep(void *context, struct err err, const struct reply *r) {
    struct claim_call *call = context;
    int64_t orphans = 0;
    if (!err_is_set(err) && (!read_entries(call, call->shards[0], reply_at(r, 0)) || !reply_read_int(reply_at(r, 1), &orphans))) {
        err = reply_unexpected("pen_sweep");
    }
    call->sweep_cb(call->arg, err, call->entries, err_is_set(err) ? 0 : call->n, orphans);
    free(call);
}

void queue_sweep(const struct broker *b, const struct shard *s, struct str consumer, size_t count, int64_t lease_ms,
                 queue_sweep_cb *cb, void *arg) {
    struct err why;
    struct claim_call *call = claim_call_new(count, 1, &why);
    if (call == NULL) {
        cb(arg, why, NULL, 0, 0);
        return;
    }
    call->sweep_cb = cb;
    call->arg = arg;
    call->shards[0] = s;
    struct call c;
    call_function(&c, FN_SWEEP, s);
    call_add(&c, consumer);
    call_add_int(&c, (int64_t)count);
    call_add_int(&c, lease_ms);
    call_send(&c, b, 0, on_sweep, call);
}

static void on_lone(void *context, struct err err, const struct reply *r) {
    struct claim_call *call = context;
    int64_t crashes = 0;
    struct str why = STR_NONE;
    if (!err_is_set(err) && (!read_entries(call, call->shards[0], reply_at(r, 0)) || !reply_read_int(reply_at(r, 1), &crashes) ||
                             !reply_read_str(reply_at(r, 2), &why))) {
        err = reply_unexpected("pen_lone");
    }
    bool found = !err_is_set(err) && call->n > 0;
    call->lone_cb(call->arg, err, found ? call->entries : NULL, found ? crashes : 0, found ? why : STR(""));
    free(call);
}

void queue_lone(const struct broker *b, const struct shard *s, struct str consumer, queue_lone_cb *cb, void *arg) {
    struct err why;
    struct claim_call *call = claim_call_new(1, 1, &why);
    if (call == NULL) {
        cb(arg, why, NULL, 0, STR(""));
        return;
    }
    call->lone_cb = cb;
    call->arg = arg;
    call->shards[0] = s;
    struct call c;
    call_function(&c, FN_LONE, s);
    call_add(&c, consumer);
    call_send(&c, b, 0, on_lone, call);
}
