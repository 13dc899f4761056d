#include <queues/upkeep.h>

#include "call.h"

#include <queues/envelope.h>
#include <stdlib.h>

enum { UNPARK_PAGE = 200 };

struct promote_call {
    queue_promote_cb *cb;
    void *arg;
};

static void on_promote(void *context, struct err err, const struct reply *r) {
    struct promote_call *call = context;
    int64_t moved = 0;
    struct wall due = {0}, now = {0};
    if (!err_is_set(err) && (!reply_read_int(reply_at(r, 0), &moved) || !reply_read_int(reply_at(r, 1), &due.ms) ||
                             !reply_read_int(reply_at(r, 2), &now.ms))) {
        err = reply_unexpected("pen_promote");
    }
    call->cb(call->arg, err, moved, due, now);
    free(call);
}

void queue_promote(const struct broker *b, const struct shard *s, int64_t limit, queue_promote_cb *cb, void *arg) {
    struct err why;
    struct promote_call *call = call_context(1, sizeof *call, &why);
    if (call == NULL) {
        cb(arg, why, 0, (struct wall){0}, (struct wall){0});
        return;
    }
    *call = (struct promote_call){cb, arg};
    struct call c;
    call_function(&c, FN_PROMOTE, s);
    call_add_int(&c, limit);
    call_send(&c, b, 0, on_promote, call);
}

struct cancel_call {
    queue_cancel_cb *cb;
    void *arg;
};

static void on_cancel(void *context, struct err err, const struct reply *r) {
    struct cancel_call *call = context;
    int64_t removed = 0;
    if (!err_is_set(err) && !reply_read_int(r, &removed)) {
        err = reply_unexpected("pen_cancel");
    }
    call->cb(call->arg, err, removed != 0);
    free(call);
}

void queue_cancel(const struct broker *b, const struct shard *s, struct uuid job, struct str outcome, queue_cancel_cb *cb,
                  void *arg) {
    struct err why;
    struct cancel_call *call = call_context(1, sizeof *call, &why);
    if (call == NULL) {
        cb(arg, why, false);
        return;
    }
    *call = (struct cancel_call){cb, arg};
    struct call c;
    call_function(&c, FN_CANCEL, s);
    call_add_uuid(&c, &job);
    call_add_int(&c, id_job_place(job).stream_class);
    call_add(&c, outcome);
    call_send(&c, b, 0, on_cancel, call);
}

void queue_cancels_any(const struct broker *b, const struct shard *const *shards, size_t shards_n, queue_count_cb *cb,
                       void *arg) {
    struct call c;
    call_begin(&c, STR("EXISTS"));
    for (size_t i = 0; i < shards_n; i++) {
        call_add(&c, shards[i]->key[KEY_CANCEL_0]);
        call_add(&c, shards[i]->key[KEY_CANCEL_1]);
    }
    call_send_count(&c, b, shards_n, cb, arg);
}

void queue_due_now(const struct broker *b, const struct shard *s, struct uuid job, queue_count_cb *cb, void *arg) {
    struct call c;
    call_function(&c, FN_DUE_NOW, s);
    call_add_uuid(&c, &job);
    call_send_count(&c, b, 1, cb, arg);
}

void queue_snooze(const struct broker *b, const struct shard *s, struct uuid job, struct wall due, queue_count_cb *cb,
                  void *arg) {
    struct call c;
    call_function(&c, FN_SNOOZE, s);
    call_add_uuid(&c, &job);
    call_add_int(&c, due.ms);
    call_send_count(&c, b, 1, cb, arg);
}

void queue_collect(const struct broker *b, const struct shard *s, int64_t idle_ms, queue_count_cb *cb, void *arg) {
    struct call c;
    call_function(&c, FN_COLLECT, s);
    call_add_int(&c, idle_ms);
    call_send_count(&c, b, 1, cb, arg);
}

struct walk_call {
    queue_walk_cb *cb;
    void *arg;
};

/* A scan may return more than was asked for, so the room is made when it is known. */
static struct err read_walk(const struct reply *r, struct uuid **out_jobs, struct str *out_next) {
    if (reply_len(r) < 1 || !reply_read_str(r->element[0], out_next)) {
        return reply_unexpected("pen_walk");
    }
    struct uuid *jobs = malloc(r->elements * sizeof *jobs);
    if (jobs == NULL) {
        return (struct err){ERR_NOMEM, "no memory for the jobs of a shard"};
    }
    for (size_t i = 1; i < r->elements; i++) {
        if (!reply_read_uuid(r->element[i], &jobs[i - 1])) {
            free(jobs);
            return reply_unexpected("pen_walk");
        }
    }
    *out_jobs = jobs;
    return OK;
}

static void on_walk(void *context, struct err err, const struct reply *r) {
    struct walk_call *call = context;
    struct uuid *jobs = NULL;
    struct str next = STR("");
    if (!err_is_set(err)) {
        err = read_walk(r, &jobs, &next);
    }
    bool good = !err_is_set(err);
    call->cb(call->arg, err, jobs, good ? r->elements - 1 : 0, good ? next : STR(""));
    free(jobs);
    free(call);
}

void queue_walk(const struct broker *b, const struct shard *s, enum shard_key home, struct str cursor, queue_walk_cb *cb,
                void *arg) {
    bool known = home == KEY_STREAM || home == KEY_DELAYED || home == KEY_PARKED;
    struct err why = {ERR_INVALID, "no home to walk"};
    struct walk_call *call = known ? call_context(1, sizeof *call, &why) : NULL;
    if (call == NULL) {
        cb(arg, why, NULL, 0, STR(""));
        return;
    }
    *call = (struct walk_call){cb, arg};
    struct call c;
    call_function_on(&c, FN_WALK, s, home);
    call_add(&c, cursor);
    call_add_int(&c, LIMIT_BATCH);
    call_send(&c, b, 0, on_walk, call);
}

/* pen_mend and pen_unpark: a page in each call. */
struct page_call {
    const char *name;
    void (*cb)(void *arg, struct err err, int64_t moved, struct str next);
    void *arg;
};

static void on_page(void *context, struct err err, const struct reply *r) {
    struct page_call *call = context;
    struct str next = STR("");
    int64_t moved = 0;
    if (!err_is_set(err) && (!reply_read_str(reply_at(r, 0), &next) || !reply_read_int(reply_at(r, 1), &moved))) {
        err = reply_unexpected(call->name);
    }
    call->cb(call->arg, err, moved, next);
    free(call);
}

void queue_mend(const struct broker *b, const struct shard *s, struct str cursor, queue_mend_cb *cb, void *arg) {
    struct err why;
    struct page_call *call = call_context(1, sizeof *call, &why);
    if (call == NULL) {
        cb(arg, why, 0, STR(""));
        return;
    }
    *call = (struct page_call){"pen_mend", cb, arg};
    struct call c;
    call_function(&c, FN_MEND, s);
    call_add(&c, cursor);
    call_add_int(&c, LIMIT_BATCH);
    call_send(&c, b, 0, on_page, call);
}

void queue_unpark(const struct broker *b, const struct shard *s, struct str cursor, const struct queue_kind *kinds, size_t n,
                  queue_unpark_cb *cb, void *arg) {
    struct err why;
    struct page_call *call = call_context(n, sizeof *call, &why);
    if (call == NULL) {
        cb(arg, why, 0, STR(""));
        return;
    }
    *call = (struct page_call){"pen_unpark", cb, arg};
    struct call c;
    call_function(&c, FN_UNPARK, s);
    call_add(&c, cursor);
    call_add_int(&c, UNPARK_PAGE);
    call_add_int(&c, ENVELOPE_VERSION);
    for (size_t i = 0; i < n; i++) {
        call_add(&c, kinds[i].type);
        call_add_int(&c, kinds[i].version);
    }
    call_send(&c, b, 0, on_page, call);
}
