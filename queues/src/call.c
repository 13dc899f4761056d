#include "call.h"

#include <queues/version.h>
#include <stdlib.h>

enum { KEYS_MAX = 8 };

static const struct {
    const char *name;
    bool reads;
    enum shard_key keys[KEYS_MAX + 1]; /* up to KEY_MAX */
} functions[] = {
#define F(id, step, reads, ...) [FN_##id] = {FUNCTION_NAME(step), reads, {__VA_ARGS__, KEY_MAX}},
#include "functions.def"
#undef F
};
_Static_assert(sizeof functions / sizeof functions[0] == FN_MAX, "one row per Function");
_Static_assert(CALL_ARGS_MAX >= 3 + KEYS_MAX + 1 + 5 * LIMIT_BATCH, "queue_enter has the most arguments");

void call_begin(struct call *c, struct str command) {
    c->argc = 0;
    c->used = 0;
    c->full = false;
    call_add(c, command);
}

static void begin_function(struct call *c, enum function f, size_t keys_n) {
    call_begin(c, functions[f].reads ? STR("FCALL_RO") : STR("FCALL"));
    call_add(c, str_c(functions[f].name));
    call_add_int(c, (int64_t)keys_n);
}

void call_function(struct call *c, enum function f, const struct shard *s) {
    const enum shard_key *keys = functions[f].keys;
    size_t n = 0;
    while (keys[n] != KEY_MAX) {
        n++;
    }
    begin_function(c, f, n);
    for (size_t i = 0; i < n; i++) {
        call_add(c, s->key[keys[i]]);
    }
}

void call_function_on(struct call *c, enum function f, const struct shard *s, enum shard_key key) {
    begin_function(c, f, 1);
    call_add(c, s->key[key]);
}

void call_add(struct call *c, struct str arg) {
    if (c->argc == CALL_ARGS_MAX) {
        c->full = true;
        return;
    }
    c->argv[c->argc++] = arg;
}

static char *scratch(struct call *c, size_t n) {
    if (CALL_SCRATCH_BYTES - c->used < n) {
        c->full = true;
        return NULL;
    }
    char *room = c->scratch + c->used;
    c->used += n;
    return room;
}

void call_add_int(struct call *c, int64_t v) {
    char *room = scratch(c, I64_TEXT_BYTES);
    if (room != NULL) {
        call_add(c, str_from_i64(v, room));
    }
}

void call_add_id(struct call *c, struct stream_id id) {
    char *room = scratch(c, STREAM_ID_BYTES);
    if (room != NULL) {
        call_add(c, stream_id_text(id, room));
    }
}

void call_add_uuid(struct call *c, const struct uuid *u) { call_add(c, str_of(u->b, sizeof u->b)); }

void *call_context(size_t n, size_t bytes, struct err *out_why) {
    if (n < 1 || n > LIMIT_BATCH) {
        *out_why = err_make(ERR_INVALID, "a call about %zu items; 1 to %d are allowed", n, LIMIT_BATCH);
        return NULL;
    }
    void *context = calloc(1, bytes);
    if (context == NULL) {
        *out_why = (struct err){ERR_NOMEM, "no memory for a call to Redis"};
    }
    return context;
}

void call_send(struct call *c, const struct broker *b, int64_t deadline_ms, broker_cb *cb, void *context) {
    if (c->full) {
        cb(context, (struct err){ERR_TOO_LARGE, "too many arguments for one call"}, NULL);
        return;
    }
    b->call(b->self, deadline_ms, c->argc, c->argv, cb, context);
}

struct count_call {
    queue_count_cb *cb;
    void *arg;
};

static void on_count(void *context, struct err err, const struct reply *r) {
    struct count_call *call = context;
    int64_t count = 0;
    if (!err_is_set(err) && !reply_read_int(r, &count)) {
        err = reply_unexpected("a call that counts");
    }
    call->cb(call->arg, err, count);
    free(call);
}

void call_send_count(struct call *c, const struct broker *b, size_t n, queue_count_cb *cb, void *arg) {
    struct err why;
    struct count_call *call = call_context(n, sizeof *call, &why);
    if (call == NULL) {
        cb(arg, why, 0);
        return;
    }
    *call = (struct count_call){cb, arg};
    call_send(c, b, 0, on_count, call);
}

struct lost_call {
    queue_lost_cb *cb;
    void *arg;
};

static void on_lost(void *context, struct err err, const struct reply *r) {
    struct lost_call *call = context;
    struct stream_id lost[LIMIT_BATCH];
    size_t n = 0;
    if (!err_is_set(err) && !reply_read_ids(r, lost, &n)) {
        err = reply_unexpected("a call that lists entries");
    }
    call->cb(call->arg, err, lost, n);
    free(call);
}

void call_send_lost(struct call *c, const struct broker *b, size_t n, queue_lost_cb *cb, void *arg) {
    struct err why;
    struct lost_call *call = call_context(n, sizeof *call, &why);
    if (call == NULL) {
        cb(arg, why, NULL, 0);
        return;
    }
    *call = (struct lost_call){cb, arg};
    call_send(c, b, 0, on_lost, call);
}

bool reply_read_int(const struct reply *r, int64_t *out) {
    if (r == NULL || r->type != REPLY_INTEGER) {
        return false;
    }
    *out = r->integer;
    return true;
}

bool reply_read_str(const struct reply *r, struct str *out) {
    if (r == NULL || (r->type != REPLY_STRING && r->type != REPLY_STATUS)) {
        return false;
    }
    *out = str_of(r->str, r->len);
    return true;
}

bool reply_read_uuid(const struct reply *r, struct uuid *out) {
    struct str s;
    if (!reply_read_str(r, &s) || s.n != sizeof out->b) {
        return false;
    }
    memcpy(out->b, s.p, sizeof out->b);
    return true;
}

bool reply_read_id(const struct reply *r, struct stream_id *out) {
    struct str s;
    return reply_read_str(r, &s) && stream_id_parse(s, out);
}

bool reply_read_ids(const struct reply *r, struct stream_id out[LIMIT_BATCH], size_t *out_n) {
    if (r == NULL || r->type != REPLY_ARRAY || r->elements > LIMIT_BATCH) {
        return false;
    }
    for (size_t i = 0; i < r->elements; i++) {
        if (!reply_read_id(r->element[i], &out[i])) {
            return false;
        }
    }
    *out_n = r->elements;
    return true;
}

struct err reply_unexpected(const char *what) {
    return err_make(ERR_REDIS_REPLY, "Redis answered %s with something else", what);
}
