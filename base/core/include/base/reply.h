/* A Redis reply, and the broker that upper layers speak to Redis through. The layout is that of hiredis' redisReply (checked
 * where it is built, base/io/src/redis.c), so that replies come from an arena without a copy between two trees.
 * A reply is borrowed for the length of the callback. Any element may be nil: deleted-but-pending entries are. */
#ifndef BASE_REPLY_H
#define BASE_REPLY_H

#include <base/err.h>
#include <base/str.h>

enum reply_type { REPLY_STRING = 1, REPLY_ARRAY = 2, REPLY_INTEGER = 3, REPLY_NIL = 4, REPLY_STATUS = 5, REPLY_ERROR = 6 };

struct reply {
    int type; /* enum reply_type */
    long long integer;
    size_t len;
    char *str;
    size_t elements;
    struct reply **element;
};

static inline struct str reply_str(const struct reply *r) {
    return r != NULL && (r->type == REPLY_STRING || r->type == REPLY_STATUS) ? str_of(r->str, r->len) : STR_NONE;
}
static inline int64_t reply_int(const struct reply *r, int64_t fallback) {
    return r != NULL && r->type == REPLY_INTEGER ? (int64_t)r->integer : fallback;
}
static inline const struct reply *reply_at(const struct reply *r, size_t i) {
    return r != NULL && r->type == REPLY_ARRAY && i < r->elements ? r->element[i] : NULL;
}
static inline size_t reply_len(const struct reply *r) { return r != NULL && r->type == REPLY_ARRAY ? r->elements : 0; }

/* reply is NULL exactly when err is set. Called once per call, also when the connection dies or is closed. */
typedef void broker_cb(void *arg, struct err err, const struct reply *reply);

struct broker {
    /* Sends one command; argv is borrowed for the call only. deadline_ms 0: the connection's own. Calls go out in order and
     * are answered in order. A call on a connection that is not up fails at once with ERR_REDIS_DOWN — through the callback,
     * which may therefore run before this returns. */
    void (*call)(void *self, int64_t deadline_ms, size_t argc, const struct str *argv, broker_cb *cb, void *arg);
    void *self;
};

static inline void broker_call(const struct broker *b, size_t argc, const struct str *argv, broker_cb *cb, void *arg) {
    b->call(b->self, 0, argc, argv, cb, arg);
}

#endif
