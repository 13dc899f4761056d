#include <queues/upkeep.h>

#include "call.h"

#include <stdlib.h>

struct depth_call {
    queue_depth_cb *cb;
    void *arg;
};

/* The counters of a shard and what each says about the number of jobs that must be there. */
struct counters {
    int64_t base, jin, accepted, jout, done, cancelled, expired, dead, merged;
};

static bool read_counter(struct str name, struct str value, struct counters *out) {
    const struct {
        const char *name;
        int64_t *out;
    } rows[] = {
        {"base", &out->base},       {"jin", &out->jin},   {"accepted", &out->accepted},
        {"jout", &out->jout},       {"done", &out->done}, {"cancelled", &out->cancelled},
        {"expired", &out->expired}, {"dead", &out->dead}, {"merged", &out->merged},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (str_is(name, rows[i].name)) {
            return str_to_i64(value, rows[i].out);
        }
    }
    return true; /* of a later version */
}

static bool read_counters(const struct reply *r, struct counters *out) {
    if (r == NULL || r->type != REPLY_ARRAY || r->elements % 2 != 0) {
        return false;
    }
    for (size_t i = 0; i < r->elements; i += 2) {
        struct str name, value;
        if (!reply_read_str(r->element[i], &name) || !reply_read_str(r->element[i + 1], &value) ||
            !read_counter(name, value, out)) {
            return false;
        }
    }
    return true;
}

static int64_t sum(const int64_t *v, size_t n, bool *ok) {
    int64_t total = 0;
    for (size_t i = 0; i < n; i++) {
        *ok = *ok && !__builtin_add_overflow(total, v[i], &total);
    }
    return total;
}

static bool find_gap(const struct counters *n, int64_t entries, const struct queue_depth *d, int64_t *out) {
    bool ok = true;
    int64_t in = sum((const int64_t[]){n->base, n->jin, n->accepted}, 3, &ok);
    int64_t gone = sum((const int64_t[]){n->jout, n->done, n->cancelled, n->expired, n->dead, n->merged}, 6, &ok);
    int64_t there = sum((const int64_t[]){entries, d->delayed, d->parked}, 3, &ok);
    int64_t rest = 0;
    return ok && !__builtin_sub_overflow(in, gone, &rest) && !__builtin_sub_overflow(rest, there, out);
}

/* The numbers of the reply, in its order; the epoch and the counters come after them. */
enum {
    IN_ENTRIES,
    IN_PENDING,
    IN_BACK,
    IN_DELAYED,
    IN_PARKED,
    IN_DEAD,
    IN_SINCE,
    IN_DUE,
    IN_NOW,
    NUMBERS,
    IN_EPOCH = NUMBERS,
    IN_COUNTERS
};

static bool read_states(const struct reply *r, int64_t *out_entries, struct queue_depth *out) {
    int64_t n[NUMBERS];
    for (size_t i = 0; i < NUMBERS; i++) {
        if (!reply_read_int(reply_at(r, i), &n[i]) || n[i] < 0) {
            return false;
        }
    }
    struct str epoch;
    if (n[IN_BACK] > n[IN_PENDING]) {
        return false;
    }
    struct queue_depth d = {
        /* After a torn settle an id may be pending without an entry until a sweep drops it. */
        .waiting = n[IN_BACK] + (n[IN_ENTRIES] > n[IN_PENDING] ? n[IN_ENTRIES] - n[IN_PENDING] : 0),
        .running = n[IN_PENDING] - n[IN_BACK],
        .handed_back = n[IN_BACK],
        .delayed = n[IN_DELAYED],
        .parked = n[IN_PARKED],
        .dead = n[IN_DEAD],
        .oldest_age_ms = n[IN_SINCE] > 0 && n[IN_SINCE] < n[IN_NOW] ? n[IN_NOW] - n[IN_SINCE] : 0,
        .next_due = {n[IN_DUE]},
    };
    if (!reply_read_str(reply_at(r, IN_EPOCH), &epoch) || !str_copy_c(epoch, d.epoch, sizeof d.epoch)) {
        return false;
    }
    *out_entries = n[IN_ENTRIES];
    *out = d;
    return true;
}

static bool read_depth(const struct reply *r, struct queue_depth *out) {
    int64_t entries;
    struct queue_depth d;
    struct counters n = {0};
    if (!read_states(r, &entries, &d) || !read_counters(reply_at(r, IN_COUNTERS), &n) || !find_gap(&n, entries, &d, &d.gap)) {
        return false;
    }
    d.accepted = n.accepted;
    d.done = n.done;
    d.cancelled = n.cancelled;
    d.expired = n.expired;
    d.died = n.dead;
    d.journal_out = n.jout;
    *out = d;
    return true;
}

static void on_depth(void *context, struct err err, const struct reply *r) {
    struct depth_call *call = context;
    struct queue_depth depth;
    if (!err_is_set(err) && !read_depth(r, &depth)) {
        err = reply_unexpected("pen_depth");
    }
    call->cb(call->arg, err, err_is_set(err) ? NULL : &depth);
    free(call);
}

void queue_depth(const struct broker *b, const struct shard *s, queue_depth_cb *cb, void *arg) {
    struct err why;
    struct depth_call *call = call_context(1, sizeof *call, &why);
    if (call == NULL) {
        cb(arg, why, NULL);
        return;
    }
    *call = (struct depth_call){cb, arg};
    struct call c;
    call_function(&c, FN_DEPTH, s);
    call_send(&c, b, 0, on_depth, call);
}

/* The i-th job's. */
static bool read_place(const struct reply *r, size_t i, struct queue_place *out) {
    struct queue_place p;
    int64_t where;
    if (!reply_read_int(reply_at(r, 3 * i), &where) || !reply_read_int(reply_at(r, 3 * i + 1), &p.when.ms) ||
        !reply_read_str(reply_at(r, 3 * i + 2), &p.outcome) || where < QUEUE_FOUND_NOTHING || where > QUEUE_FOUND_DEAD ||
        (p.outcome.n > 0 && where != QUEUE_FOUND_OUTCOME)) {
        return false;
    }
    p.where = (enum queue_found)where;
    *out = p;
    return true;
}

struct find_call {
    queue_find_cb *cb;
    void *arg;
};

static void on_find(void *context, struct err err, const struct reply *r) {
    struct find_call *call = context;
    struct queue_place p = {.outcome = STR("")};
    if (!err_is_set(err) && !read_place(r, 0, &p)) {
        err = reply_unexpected("pen_find");
    }
    call->cb(call->arg, err, p.where, p.when, p.outcome);
    free(call);
}

void queue_find(const struct broker *b, const struct shard *s, struct uuid job, queue_find_cb *cb, void *arg) {
    struct err why;
    struct find_call *call = call_context(1, sizeof *call, &why);
    if (call == NULL) {
        cb(arg, why, QUEUE_FOUND_NOTHING, (struct wall){0}, STR(""));
        return;
    }
    *call = (struct find_call){cb, arg};
    struct call c;
    call_function(&c, FN_FIND, s);
    call_add_uuid(&c, &job);
    call_send(&c, b, 0, on_find, call);
}

struct places_call {
    queue_places_cb *cb;
    void *arg;
    size_t n;
};

static void on_places(void *context, struct err err, const struct reply *r) {
    struct places_call *call = context;
    struct queue_place places[LIMIT_BATCH];
    for (size_t i = 0; i < call->n && !err_is_set(err); i++) {
        err = read_place(r, i, &places[i]) ? OK : reply_unexpected("pen_find");
    }
    call->cb(call->arg, err, err_is_set(err) ? NULL : places);
    free(call);
}

void queue_find_all(const struct broker *b, const struct shard *s, const struct uuid *jobs, size_t n, queue_places_cb *cb,
                    void *arg) {
    struct err why;
    struct places_call *call = call_context(n, sizeof *call, &why);
    if (call == NULL) {
        cb(arg, why, NULL);
        return;
    }
    *call = (struct places_call){cb, arg, n};
    struct call c;
    call_function(&c, FN_FIND, s);
    for (size_t i = 0; i < n; i++) {
        call_add_uuid(&c, &jobs[i]);
    }
    call_send(&c, b, 0, on_places, call);
}
