/* Inside the Redis in memory: keys, ops, and the helpers of its commands. */
#ifndef SIM_MINI_DATA_H
#define SIM_MINI_DATA_H

#include "mini.h"

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

enum value_type { VALUE_STRING, VALUE_HASH, VALUE_ZSET, VALUE_STREAM };

/* A field of a hash with its value, or a member of a sorted set with its score. */
struct field {
    UT_hash_handle hh;
    struct str name, value;
    double score;
};

struct consumer {
    struct consumer *next;
    struct str name;
    int64_t seen_ms;
};

struct pending {
    struct stream_id id;
    struct consumer *consumer;
    int64_t at_ms, times;
};

struct entry {
    struct stream_id id;
    struct str fields; /* each with its length in front: 4 bytes */
};

struct stream {
    struct entry *entries; /* by id */
    size_t n, cap;
    struct stream_id last;
    bool has_group;
    struct stream_id delivered; /* of the group */
    struct consumer *consumers;
    struct pending *pending; /* by id */
    size_t pending_n, pending_cap;
};

struct key {
    UT_hash_handle hh;
    struct str name;
    enum value_type type;
    int64_t expire_ms; /* 0: never */
    struct str string;
    struct field *fields;
    struct stream stream;
};

enum op_kind {
    OP_DELETE,
    OP_EXPIRE, /* n ms */
    OP_SET,    /* a */
    OP_HSET,   /* a field, b value */
    OP_HDEL,   /* a */
    OP_ZADD,   /* a, score */
    OP_ZREM,   /* a */
    OP_XADD,   /* id, a fields */
    OP_XDEL,   /* id */
    OP_GROUP,
    OP_DELIVERED,   /* id */
    OP_PEND,        /* id, a consumer, n ms, times */
    OP_ACK,         /* id */
    OP_SEEN,        /* a consumer, n ms */
    OP_DELCONSUMER, /* a */
    OP_FUNCTIONS
};

struct op {
    enum op_kind kind;
    uint64_t call;  /* in which it was */
    uint8_t step;   /* which Function: a hash of its name */
    size_t command; /* the how-manieth of that call */
    struct str key, a, b;
    struct stream_id id;
    double score;
    int64_t n, times;
};

struct mini {
    struct mini_options options;
    struct key *keys;
    struct lua_State *lua;
    bool functions; /* loaded */
    struct str library;
    struct op *log;
    size_t log_n, log_cap;
    struct arena log_bytes;
    size_t torn_at; /* so many ops stood in front of a torn call that was not rewritten since; SIZE_MAX: none */
    uint64_t calls; /* that changed something, ever */
    size_t commands;
    uint8_t step;
    bool changed, reads_only;
    uint64_t added;
    const char *refusal;
    int64_t now_ms;
    char run_id[24];
};

/* One command being executed. */
struct command {
    struct mini *m;
    struct arena *a;
    size_t argc;
    const struct str *argv;
};

void sim_die(const char *fmt, ...) PRINTF_LIKE(1, 2) __attribute__((noreturn));
void *sim_alloc(struct arena *a, size_t n);
struct str sim_copy(struct arena *a, struct str s);

/* mini_data.c */
struct key *key_lookup(struct mini *m, struct str name);                      /* NULL: none; expired or not */
struct key *key_find(struct mini *m, struct str name);                        /* NULL: none, or expired */
struct key *key_typed(struct mini *m, struct str name, enum value_type type); /* of another type: the end */
struct field *field_find(const struct key *k, struct str name);
void op_do(struct mini *m, const struct op *o);                      /* applies and logs; strings are copied */
struct pending *pending_find(struct stream *s, struct stream_id id); /* that, or the next one; pending + pending_n: none */
struct entry *entry_find(struct stream *s, struct stream_id id);     /* likewise */
int stream_id_cmp(struct stream_id a, struct stream_id b);
struct consumer *consumer_find(const struct stream *s, struct str name);

/* replies */
struct reply *reply_new(struct arena *a, int type);
struct reply *reply_integer(struct arena *a, long long v);
struct reply *reply_bytes(struct arena *a, struct str s);
struct reply *reply_text(struct arena *a, int type, const char *text);
struct reply *reply_array(struct arena *a, size_t n); /* elements to be filled in */
int64_t arg_int(const struct command *c, size_t i);

/* mini_commands.c, mini_stream.c, mini_lua.c */
struct reply *command_run(struct command *c);
struct reply *stream_run(struct command *c); /* NULL: not one of its commands */
bool stream_would_block(const struct command *c);
void functions_open(struct mini *m, struct str library);
void functions_forget(struct mini *m); /* what they remember, with the process */
struct reply *functions_call(struct command *c);

#endif
