/* The other commands, and one call from outside: a command, or a Function with all its commands. */
#include "mini_data.h"

#include <base/ids.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- replies ---- */

struct reply *reply_new(struct arena *a, int type) {
    struct reply *r = sim_alloc(a, sizeof *r);
    *r = (struct reply){.type = type};
    return r;
}

struct reply *reply_integer(struct arena *a, long long v) {
    struct reply *r = reply_new(a, REPLY_INTEGER);
    r->integer = v;
    return r;
}

struct reply *reply_bytes(struct arena *a, struct str s) {
    struct reply *r = reply_new(a, REPLY_STRING);
    struct str copy = sim_copy(a, s);
    r->str = (char *)(uintptr_t)copy.p;
    r->len = copy.n;
    return r;
}

struct reply *reply_text(struct arena *a, int type, const char *text) {
    struct reply *r = reply_bytes(a, str_c(text));
    r->type = type;
    return r;
}

struct reply *reply_array(struct arena *a, size_t n) {
    struct reply *r = reply_new(a, REPLY_ARRAY);
    r->elements = n;
    r->element = sim_alloc(a, n * sizeof(void *));
    return r;
}

int64_t arg_int(const struct command *c, size_t i) {
    int64_t v;
    if (i >= c->argc || !str_to_i64(c->argv[i], &v)) {
        sim_die("%.*s: argument %zu is no integer", STR_ARG(c->argv[0]), i);
    }
    return v;
}

static struct reply *nil(const struct command *c) { return reply_new(c->a, REPLY_NIL); }
static struct reply *bytes_or_nil(const struct command *c, const struct field *f) {
    return f != NULL ? reply_bytes(c->a, f->value) : nil(c);
}

static struct str number_text(struct arena *a, double v) { return arena_printf(a, "%.17g", v); }

/* ---- keys and strings ---- */

static struct reply *exists(const struct command *c) {
    long long n = 0;
    for (size_t i = 1; i < c->argc; i++) {
        n += key_find(c->m, c->argv[i]) != NULL;
    }
    return reply_integer(c->a, n);
}

static struct reply *delete (const struct command *c) {
    long long n = 0;
    for (size_t i = 1; i < c->argc; i++) {
        if (key_find(c->m, c->argv[i]) != NULL) {
            op_do(c->m, &(struct op){.kind = OP_DELETE, .key = c->argv[i]});
            n++;
        }
    }
    return reply_integer(c->a, n);
}

static struct reply *expire_at(const struct command *c, int64_t ms) {
    if (key_find(c->m, c->argv[1]) == NULL) {
        return reply_integer(c->a, 0);
    }
    op_do(c->m, &(struct op){.kind = OP_EXPIRE, .key = c->argv[1], .n = ms});
    return reply_integer(c->a, 1);
}

static struct reply *pexpireat(const struct command *c) { return expire_at(c, arg_int(c, 2)); }
static struct reply *pexpire(const struct command *c) { return expire_at(c, c->m->now_ms + arg_int(c, 2)); }

static struct reply *type(const struct command *c) {
    static const char *const names[] = {
        [VALUE_STRING] = "string", [VALUE_HASH] = "hash", [VALUE_ZSET] = "zset", [VALUE_STREAM] = "stream"};
    const struct key *k = key_find(c->m, c->argv[1]);
    return reply_text(c->a, REPLY_STATUS, k != NULL ? names[k->type] : "none");
}

static struct reply *get(const struct command *c) {
    const struct key *k = key_typed(c->m, c->argv[1], VALUE_STRING);
    return k != NULL ? reply_bytes(c->a, k->string) : nil(c);
}

static struct reply *set(const struct command *c) {
    if (c->argc != 3) {
        sim_die("SET with options");
    }
    op_do(c->m, &(struct op){.kind = OP_SET, .key = c->argv[1], .a = c->argv[2]});
    return reply_text(c->a, REPLY_STATUS, "OK");
}

static struct reply *server_time(const struct command *c) {
    long long ms = c->m->now_ms, us = ms % 1000 * 1000 + (long long)(c->m->calls % 1000);
    struct reply *r = reply_array(c->a, 2);
    r->element[0] = reply_bytes(c->a, arena_printf(c->a, "%lld", ms / 1000));
    r->element[1] = reply_bytes(c->a, arena_printf(c->a, "%lld", us));
    return r;
}

static struct reply *publish(const struct command *c) {
    c->m->options.publish(c->m->options.self, c->argv[1], c->argv[2]);
    return reply_integer(c->a, 0);
}

static struct reply *rewrite(const struct command *c) {
    c->m->torn_at = SIZE_MAX;
    return reply_text(c->a, REPLY_STATUS, "Background append only file rewriting started");
}

#define SHEBANG "#!lua name="

static struct reply *load(const struct command *c) {
    if (!str_is(c->argv[1], "LOAD") || !str_is(c->argv[2], "REPLACE") || !str_starts(c->argv[3], STR(SHEBANG))) {
        sim_die("FUNCTION %.*s", STR_ARG(c->argv[1]));
    }
    functions_open(c->m, c->argv[3]);
    op_do(c->m, &(struct op){.kind = OP_FUNCTIONS});
    struct str text = c->argv[3], name = STR("");
    (void)str_cut(&text, '\n', &name);
    return reply_bytes(c->a, str_of(name.p + sizeof SHEBANG - 1, name.n - (sizeof SHEBANG - 1)));
}

static struct reply *info(const struct command *c) {
    return reply_bytes(c->a, arena_printf(c->a, "# Server\r\nredis_version:7.0.15\r\nrun_id:%s\r\n", c->m->run_id));
}

/* ---- hashes ---- */

static struct key *hash_of(const struct command *c) { return key_typed(c->m, c->argv[1], VALUE_HASH); }

static struct reply *hget(const struct command *c) { return bytes_or_nil(c, field_find(hash_of(c), c->argv[2])); }

static struct reply *hmget(const struct command *c) {
    const struct key *k = hash_of(c);
    struct reply *r = reply_array(c->a, c->argc - 2);
    for (size_t i = 2; i < c->argc; i++) {
        r->element[i - 2] = bytes_or_nil(c, field_find(k, c->argv[i]));
    }
    return r;
}

static struct reply *hset(const struct command *c) {
    long long n = 0;
    for (size_t i = 2; i + 1 < c->argc; i += 2) {
        n += field_find(hash_of(c), c->argv[i]) == NULL;
        op_do(c->m, &(struct op){.kind = OP_HSET, .key = c->argv[1], .a = c->argv[i], .b = c->argv[i + 1]});
    }
    return reply_integer(c->a, n);
}

static struct reply *hdel(const struct command *c) {
    long long n = 0;
    for (size_t i = 2; i < c->argc; i++) {
        if (field_find(hash_of(c), c->argv[i]) != NULL) {
            op_do(c->m, &(struct op){.kind = OP_HDEL, .key = c->argv[1], .a = c->argv[i]});
            n++;
        }
    }
    return reply_integer(c->a, n);
}

static struct reply *hincrby(const struct command *c) {
    const struct field *f = field_find(hash_of(c), c->argv[2]);
    int64_t v = 0;
    char room[I64_TEXT_BYTES];
    if (f != NULL && !str_to_i64(f->value, &v)) {
        sim_die("HINCRBY of no number");
    }
    v += arg_int(c, 3);
    op_do(c->m, &(struct op){.kind = OP_HSET, .key = c->argv[1], .a = c->argv[2], .b = str_from_i64(v, room)});
    return reply_integer(c->a, v);
}

static struct reply *hexists(const struct command *c) { return reply_integer(c->a, field_find(hash_of(c), c->argv[2]) != NULL); }

static struct reply *count(const struct command *c, enum value_type t) {
    const struct key *k = key_typed(c->m, c->argv[1], t);
    return reply_integer(c->a, k != NULL ? (long long)HASH_COUNT(k->fields) : 0);
}
static struct reply *hlen(const struct command *c) { return count(c, VALUE_HASH); }
static struct reply *zcard(const struct command *c) { return count(c, VALUE_ZSET); }

static struct reply *hgetall(const struct command *c) {
    const struct key *k = hash_of(c);
    struct reply *r = reply_array(c->a, k != NULL ? 2 * HASH_COUNT(k->fields) : 0);
    size_t n = 0;
    for (const struct field *f = k != NULL ? k->fields : NULL; f != NULL; f = f->hh.next) {
        r->element[n++] = reply_bytes(c->a, f->name);
        r->element[n++] = reply_bytes(c->a, f->value);
    }
    return r;
}

/* Different ones, at most as many as asked for. */
static struct reply *hrandfield(const struct command *c) {
    const struct key *k = hash_of(c);
    size_t all = k != NULL ? HASH_COUNT(k->fields) : 0, wanted = (size_t)arg_int(c, 2), per = c->argc == 4 ? 2 : 1, n = 0;
    size_t skip = all > wanted ? (size_t)c->m->options.random(c->m->options.self, all) : 0;
    wanted = wanted < all ? wanted : all;
    struct reply *r = reply_array(c->a, per * wanted);
    const struct field *f = k != NULL ? k->fields : NULL;
    for (; skip > 0; skip--) {
        f = f->hh.next;
    }
    for (; n < per * wanted; f = f->hh.next != NULL ? f->hh.next : k->fields) {
        r->element[n++] = reply_bytes(c->a, f->name);
        if (per == 2) {
            r->element[n++] = reply_bytes(c->a, f->value);
        }
    }
    return r;
}

/* ---- sorted sets ---- */

static struct key *zset_of(const struct command *c) { return key_typed(c->m, c->argv[1], VALUE_ZSET); }

static struct reply *zadd(const struct command *c) {
    bool only_new = str_is(c->argv[2], "NX");
    size_t at = only_new ? 3 : 2;
    if (c->argc != at + 2) {
        sim_die("ZADD of several members");
    }
    bool there = field_find(zset_of(c), c->argv[at + 1]) != NULL;
    if (!there || !only_new) {
        op_do(c->m, &(struct op){.kind = OP_ZADD, .key = c->argv[1], .a = c->argv[at + 1], .score = (double)arg_int(c, at)});
    }
    return reply_integer(c->a, !there);
}

static struct reply *zrem(const struct command *c) {
    bool there = field_find(zset_of(c), c->argv[2]) != NULL;
    if (there) {
        op_do(c->m, &(struct op){.kind = OP_ZREM, .key = c->argv[1], .a = c->argv[2]});
    }
    return reply_integer(c->a, there);
}

static struct reply *zscore(const struct command *c) {
    const struct field *f = field_find(zset_of(c), c->argv[2]);
    return f != NULL ? reply_bytes(c->a, number_text(c->a, f->score)) : nil(c);
}

static int by_score(const void *a, const void *b) {
    const struct field *x = *(const struct field *const *)a, *y = *(const struct field *const *)b;
    if (x->score != y->score) {
        return x->score < y->score ? -1 : 1;
    }
    size_t n = x->name.n < y->name.n ? x->name.n : y->name.n;
    int order = memcmp(x->name.p, y->name.p, n);
    return order != 0 ? order : (x->name.n > y->name.n) - (x->name.n < y->name.n);
}

/* Members up to a score, lowest first. */
static const struct field **sorted(const struct command *c, double most, size_t *out_n) {
    const struct key *k = zset_of(c);
    size_t n = 0;
    const struct field **all = sim_alloc(c->a, (k != NULL ? HASH_COUNT(k->fields) : 0) * sizeof(void *));
    for (const struct field *f = k != NULL ? k->fields : NULL; f != NULL; f = f->hh.next) {
        if (f->score <= most) {
            all[n++] = f;
        }
    }
    if (n > 0) {
        qsort(all, n, sizeof(void *), by_score);
    }
    *out_n = n;
    return all;
}

/* ZRANGE key 0 0 WITHSCORES: the head. */
static struct reply *zrange(const struct command *c) {
    if (c->argc != 5 || arg_int(c, 2) != 0 || arg_int(c, 3) != 0 || !str_is(c->argv[4], "WITHSCORES")) {
        sim_die("ZRANGE in another form");
    }
    const struct key *k = zset_of(c);
    const struct field *head = k != NULL ? k->fields : NULL;
    for (const struct field *f = head; f != NULL; f = f->hh.next) {
        head = by_score(&f, &head) < 0 ? f : head;
    }
    struct reply *r = reply_array(c->a, head != NULL ? 2 : 0);
    if (head != NULL) {
        r->element[0] = reply_bytes(c->a, head->name);
        r->element[1] = reply_bytes(c->a, number_text(c->a, head->score));
    }
    return r;
}

/* ZRANGEBYSCORE key -inf max LIMIT 0 n */
static struct reply *zrangebyscore(const struct command *c) {
    if (c->argc != 7 || !str_is(c->argv[2], "-inf") || arg_int(c, 5) != 0) {
        sim_die("ZRANGEBYSCORE in another form");
    }
    size_t n, most = (size_t)arg_int(c, 6);
    const struct field **found = sorted(c, (double)arg_int(c, 3), &n);
    struct reply *r = reply_array(c->a, n < most ? n : most);
    for (size_t i = 0; i < r->elements; i++) {
        r->element[i] = reply_bytes(c->a, found[i]->name);
    }
    return r;
}

/* The list of processes; the scheduler clears it. */
static struct reply *zremrangebyscore(const struct command *c) {
    if (zset_of(c) != NULL) {
        sim_die("ZREMRANGEBYSCORE where there is something");
    }
    return reply_integer(c->a, 0);
}

/* ---- scans: by a hash of the name, so that who is there all the time is met ---- */

static uint64_t place_of(struct str name) {
    uint64_t h = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < name.n; i++) {
        h = (h ^ (uint8_t)name.p[i]) * UINT64_C(1099511628211);
    }
    return h | 1; /* 0 is the beginning */
}

static int by_place(const void *a, const void *b) {
    uint64_t x = place_of((*(const struct field *const *)a)->name), y = place_of((*(const struct field *const *)b)->name);
    return x < y ? -1 : x > y;
}

static struct reply *scan(const struct command *c, bool zset) {
    const struct key *k = zset ? zset_of(c) : hash_of(c);
    uint64_t from = 0;
    size_t n = 0, most = (size_t)arg_int(c, 4);
    if (!str_to_u64(c->argv[2], &from) || !str_is(c->argv[3], "COUNT")) {
        sim_die("a scan in another form");
    }
    const struct field **all = sim_alloc(c->a, (k != NULL ? HASH_COUNT(k->fields) : 0) * sizeof(void *));
    for (const struct field *f = k != NULL ? k->fields : NULL; f != NULL; f = f->hh.next) {
        if (place_of(f->name) >= from) {
            all[n++] = f;
        }
    }
    if (n > 0) {
        qsort(all, n, sizeof(void *), by_place);
    }
    struct reply *r = reply_array(c->a, 2), *page = reply_array(c->a, 2 * (n < most ? n : most));
    for (size_t i = 0; i < page->elements / 2; i++) {
        page->element[2 * i] = reply_bytes(c->a, all[i]->name);
        page->element[2 * i + 1] = reply_bytes(c->a, zset ? number_text(c->a, all[i]->score) : all[i]->value);
    }
    uint64_t next = n > most ? place_of(all[most]->name) : 0;
    r->element[0] = reply_bytes(c->a, arena_printf(c->a, "%llu", (unsigned long long)next));
    r->element[1] = page;
    return r;
}
static struct reply *hscan(const struct command *c) { return scan(c, false); }
static struct reply *zscan(const struct command *c) { return scan(c, true); }

/* ---- a call ---- */

struct reply *command_run(struct command *c) {
    static const struct {
        const char *name;
        size_t args; /* at least */
        struct reply *(*run)(const struct command *c);
    } commands[] = {
        {"HGET", 3, hget},
        {"HSET", 4, hset},
        {"HDEL", 3, hdel},
        {"HMGET", 3, hmget},
        {"HEXISTS", 3, hexists},
        {"HLEN", 2, hlen},
        {"HINCRBY", 4, hincrby},
        {"HGETALL", 2, hgetall},
        {"ZADD", 4, zadd},
        {"ZREM", 3, zrem},
        {"ZCARD", 2, zcard},
        {"ZSCORE", 3, zscore},
        {"ZRANGE", 5, zrange},
        {"ZSCAN", 5, zscan},
        {"HSCAN", 5, hscan},
        {"ZRANGEBYSCORE", 7, zrangebyscore},
        {"TIME", 1, server_time},
        {"EXISTS", 2, exists},
        {"GET", 2, get},
        {"SET", 3, set},
        {"UNLINK", 2, delete},
        {"DEL", 2, delete},
        {"PEXPIREAT", 3, pexpireat},
        {"PEXPIRE", 3, pexpire},
        {"TYPE", 2, type},
        {"PUBLISH", 3, publish},
        {"FUNCTION", 4, load},
        {"BGREWRITEAOF", 1, rewrite},
        {"HRANDFIELD", 3, hrandfield},
        {"ZREMRANGEBYSCORE", 4, zremrangebyscore},
        {"INFO", 2, info},
    };
    struct mini *m = c->m;
    if (m->changed && m->log[m->log_n - 1].command == m->commands) {
        m->commands++;
    }
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (str_is(c->argv[0], commands[i].name) && c->argc >= commands[i].args) {
            return commands[i].run(c);
        }
    }
    struct reply *r = stream_run(c);
    if (r == NULL) {
        sim_die("a command that the simulator's Redis does not know: %.*s", STR_ARG(c->argv[0]));
    }
    return r;
}

static bool brings_work(const struct command *c) {
    return c->argc > 1 && (str_starts(c->argv[1], STR("pen_add_")) || str_starts(c->argv[1], STR("pen_enqueue_")));
}

struct reply *mini_call(struct mini *m, struct arena *a, int64_t now_ms, size_t argc, const struct str *argv) {
    struct command c = {m, a, argc, argv};
    m->now_ms = now_ms;
    m->changed = false;
    m->step = (uint8_t)(place_of(argc > 1 ? argv[1] : argv[0]) >> 8);
    if (m->refusal != NULL && (str_c(m->refusal).p[0] != 'O' || brings_work(&c))) {
        return reply_text(a, REPLY_ERROR, m->refusal);
    }
    if (str_is(argv[0], "FCALL") || str_is(argv[0], "FCALL_RO")) {
        return functions_call(&c);
    }
    struct reply *r = command_run(&c);
    return r->type == REPLY_NIL && stream_would_block(&c) ? NULL : r;
}
