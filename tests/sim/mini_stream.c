/* The commands of streams, as Redis 7.0 has them (t_stream.c). */
#include "mini_data.h"

static struct reply *id_reply(struct arena *a, struct stream_id id) {
    char room[STREAM_ID_BYTES];
    return reply_bytes(a, sim_copy(a, stream_id_text(id, room)));
}

static struct reply *fields_reply(struct arena *a, struct str fields) {
    struct str parts[16];
    size_t n = 0;
    for (const char *p = fields.p; p < fields.p + fields.n && n < 16;) {
        uint32_t len;
        memcpy(&len, p, sizeof len);
        parts[n++] = str_of(p + 4, len);
        p += 4 + len;
    }
    struct reply *r = reply_array(a, n);
    for (size_t i = 0; i < n; i++) {
        r->element[i] = reply_bytes(a, parts[i]);
    }
    return r;
}

static struct reply *entry_reply(struct arena *a, const struct entry *e) {
    struct reply *r = reply_array(a, 2);
    r->element[0] = id_reply(a, e->id);
    r->element[1] = fields_reply(a, e->fields);
    return r;
}

static struct stream *stream_of(const struct command *c, struct str name) {
    struct key *k = key_typed(c->m, name, VALUE_STREAM);
    return k != NULL ? &k->stream : NULL;
}

static struct reply *no_group(const struct command *c, struct str key) {
    struct str text = arena_printf(c->a, "NOGROUP No such key '%.*s' or consumer group 'g'", STR_ARG(key));
    return reply_text(c->a, REPLY_ERROR, text.p);
}

static struct stream *group_of(const struct command *c, size_t key, size_t group) {
    struct stream *s = stream_of(c, c->argv[key]);
    if (!str_is(c->argv[group], "g")) {
        sim_die("a group other than g");
    }
    return s != NULL && s->has_group ? s : NULL;
}

/* "-", "+", "5-1", "5" (of a first one, the lowest), "(5-1". */
static struct stream_id bound(struct str s, bool first) {
    struct stream_id id;
    bool open = s.n > 0 && s.p[0] == '(';
    if (open) {
        s = str_of(s.p + 1, s.n - 1);
    }
    if (str_is(s, "-")) {
        return (struct stream_id){0, 0};
    }
    if (str_is(s, "+")) {
        return (struct stream_id){UINT64_MAX, UINT64_MAX};
    }
    if (!stream_id_parse(s, &id)) {
        if (!str_to_u64(s, &id.ms)) {
            sim_die("not a stream id: %.*s", STR_ARG(s));
        }
        id.seq = first ? 0 : UINT64_MAX;
    }
    if (open && first) {
        id = id.seq == UINT64_MAX ? (struct stream_id){id.ms + 1, 0} : (struct stream_id){id.ms, id.seq + 1};
    }
    return id;
}

static struct stream_id one_id(struct str s) { return bound(s, true); }

static void do_op(const struct command *c, struct op o, struct str key) {
    o.key = key;
    op_do(c->m, &o);
}

static void see_consumer(const struct command *c, struct str key, struct str name) {
    do_op(c, (struct op){.kind = OP_SEEN, .a = name, .n = c->m->now_ms}, key);
}

/* A consumer that takes entries over is made with the first of them. */
static void see_known(const struct command *c, const struct stream *s) {
    if (consumer_find(s, c->argv[3]) != NULL) {
        see_consumer(c, c->argv[1], c->argv[3]);
    }
}

/* "*", "5-1", "5-*". False: it is not behind the last one. */
static bool new_id(const struct command *c, struct stream_id last, struct stream_id *out) {
    struct str wanted = c->argv[2], ms;
    uint64_t now = (uint64_t)c->m->now_ms;
    bool counts_on = str_is(wanted, "*");
    if (wanted.n > 2 && wanted.p[wanted.n - 1] == '*') {
        (void)str_cut(&wanted, '-', &ms);
        if (!str_to_u64(ms, &now)) {
            sim_die("not a stream id: %.*s", STR_ARG(c->argv[2]));
        }
        counts_on = true;
        if (now < last.ms) {
            return false;
        }
    }
    if (!counts_on) {
        *out = one_id(wanted);
    } else {
        *out = now > last.ms ? (struct stream_id){now, 0} : (struct stream_id){last.ms, last.seq + 1};
    }
    return stream_id_cmp(*out, last) > 0;
}

static struct reply *xadd(const struct command *c) {
    struct stream *s = stream_of(c, c->argv[1]);
    struct stream_id last = s != NULL ? s->last : (struct stream_id){0, 0}, id;
    if (!new_id(c, last, &id)) {
        return reply_text(c->a, REPLY_ERROR, "ERR The ID specified in XADD is equal or smaller than the target stream top item");
    }
    size_t bytes = 0;
    for (size_t i = 3; i < c->argc; i++) {
        bytes += 4 + c->argv[i].n;
    }
    char *fields = sim_alloc(c->a, bytes), *at = fields;
    for (size_t i = 3; i < c->argc; i++) {
        uint32_t n = (uint32_t)c->argv[i].n;
        memcpy(at, &n, 4);
        memcpy(at + 4, c->argv[i].p != NULL ? c->argv[i].p : "", n);
        at += 4 + n;
    }
    do_op(c, (struct op){.kind = OP_XADD, .id = id, .a = str_of(fields, bytes)}, c->argv[1]);
    return id_reply(c->a, id);
}

static struct reply *xdel_or_ack(const struct command *c, bool ack) {
    struct stream *s = ack ? group_of(c, 1, 2) : stream_of(c, c->argv[1]);
    long long n = 0;
    for (size_t i = ack ? 3 : 2; s != NULL && i < c->argc; i++) {
        struct stream_id id = one_id(c->argv[i]);
        struct pending *p = pending_find(s, id);
        struct entry *e = entry_find(s, id);
        bool there =
            ack ? p < s->pending + s->pending_n && stream_id_eq(p->id, id) : e < s->entries + s->n && stream_id_eq(e->id, id);
        if (there) {
            do_op(c, (struct op){.kind = ack ? OP_ACK : OP_XDEL, .id = id}, c->argv[1]);
            n++;
        }
    }
    return reply_integer(c->a, n);
}

static struct reply *xrange(const struct command *c) {
    struct stream *s = stream_of(c, c->argv[1]);
    if (s == NULL) {
        return reply_array(c->a, 0);
    }
    struct stream_id from = bound(c->argv[2], true), to = bound(c->argv[3], false);
    size_t most = c->argc == 6 ? (size_t)arg_int(c, 5) : SIZE_MAX, n = 0;
    struct entry *e = entry_find(s, from);
    while (n < most && e + n < s->entries + s->n && stream_id_cmp(e[n].id, to) <= 0) {
        n++;
    }
    struct reply *r = reply_array(c->a, n);
    for (size_t i = 0; i < n; i++) {
        r->element[i] = entry_reply(c->a, &e[i]);
    }
    return r;
}

static struct reply *pending_summary(const struct command *c, const struct stream *s) {
    struct reply *r = reply_array(c->a, 4);
    size_t holders = 0, at = 0;
    r->element[0] = reply_integer(c->a, (long long)s->pending_n);
    if (s->pending_n == 0) {
        r->element[1] = r->element[2] = r->element[3] = reply_new(c->a, REPLY_NIL);
        return r;
    }
    r->element[1] = id_reply(c->a, s->pending[0].id);
    r->element[2] = id_reply(c->a, s->pending[s->pending_n - 1].id);
    for (const struct consumer *h = s->consumers; h != NULL; h = h->next) {
        holders++;
    }
    r->element[3] = reply_array(c->a, holders);
    for (const struct consumer *h = s->consumers; h != NULL; h = h->next) {
        long long n = 0;
        for (size_t i = 0; i < s->pending_n; i++) {
            n += s->pending[i].consumer == h;
        }
        if (n > 0) {
            struct reply *one = r->element[3]->element[at++] = reply_array(c->a, 2);
            one->element[0] = reply_bytes(c->a, h->name);
            one->element[1] = reply_bytes(c->a, arena_printf(c->a, "%lld", n));
        }
    }
    r->element[3]->elements = at;
    return r;
}

static struct reply *xpending(const struct command *c) {
    struct stream *s = group_of(c, 1, 2);
    if (s == NULL) {
        return no_group(c, c->argv[1]);
    }
    if (c->argc == 3) {
        return pending_summary(c, s);
    }
    const struct consumer *of = c->argc == 7 ? consumer_find(s, c->argv[6]) : NULL;
    struct stream_id from = bound(c->argv[3], true), to = bound(c->argv[4], false);
    size_t most = (size_t)arg_int(c, 5), n = 0;
    if (c->argc == 7 && of == NULL) {
        return reply_array(c->a, 0);
    }
    struct reply *r = reply_array(c->a, most < s->pending_n ? most : s->pending_n);
    for (const struct pending *p = pending_find(s, from); p < s->pending + s->pending_n && n < most; p++) {
        if (stream_id_cmp(p->id, to) > 0) {
            break;
        }
        if (of != NULL && p->consumer != of) {
            continue;
        }
        struct reply *one = r->element[n++] = reply_array(c->a, 4);
        one->element[0] = id_reply(c->a, p->id);
        one->element[1] = reply_bytes(c->a, p->consumer->name);
        one->element[2] = reply_integer(c->a, c->m->now_ms > p->at_ms ? c->m->now_ms - p->at_ms : 0);
        one->element[3] = reply_integer(c->a, p->times);
    }
    r->elements = n;
    return r;
}

/* Takes over one pending entry, delivered so often then; just: without its fields. */
static struct reply *take_over(const struct command *c, struct stream *s, const struct pending *p, int64_t times, bool just) {
    const struct entry *e = entry_find(s, p->id);
    struct str consumer = c->argv[3];
    see_consumer(c, c->argv[1], consumer);
    do_op(c, (struct op){.kind = OP_PEND, .id = p->id, .a = consumer, .n = c->m->now_ms, .times = times}, c->argv[1]);
    return just ? id_reply(c->a, e->id) : entry_reply(c->a, e);
}

static bool is_deleted(struct stream *s, struct stream_id id) {
    const struct entry *e = entry_find(s, id);
    return e == s->entries + s->n || !stream_id_eq(e->id, id);
}

/* XCLAIM key g consumer 0 id… [RETRYCOUNT n] [JUSTID] */
static struct reply *xclaim(const struct command *c) {
    struct stream *s = group_of(c, 1, 2);
    bool just = str_is(c->argv[c->argc - 1], "JUSTID");
    size_t end = c->argc - just;
    bool counted = end > 7 && str_is(c->argv[end - 2], "RETRYCOUNT");
    size_t ids = end - 5 - (counted ? 2 : 0), n = 0;
    if (s == NULL) {
        return no_group(c, c->argv[1]);
    }
    if (arg_int(c, 4) != 0) {
        sim_die("XCLAIM with an idle time");
    }
    struct reply *r = reply_array(c->a, ids);
    see_known(c, s);
    for (size_t i = 0; i < ids; i++) {
        struct stream_id id = one_id(c->argv[5 + i]);
        const struct pending *p = pending_find(s, id);
        if (p == s->pending + s->pending_n || !stream_id_eq(p->id, id)) {
            continue;
        }
        if (is_deleted(s, id)) {
            do_op(c, (struct op){.kind = OP_ACK, .id = id}, c->argv[1]);
        } else {
            r->element[n++] = take_over(c, s, p, counted ? arg_int(c, end - 1) : p->times + !just, just);
        }
    }
    r->elements = n;
    return r;
}

/* XAUTOCLAIM key g consumer idle start COUNT n */
static struct reply *xautoclaim(const struct command *c) {
    struct stream *s = group_of(c, 1, 2);
    if (s == NULL) {
        return no_group(c, c->argv[1]);
    }
    if (c->argc != 8 || !str_is(c->argv[6], "COUNT")) {
        sim_die("XAUTOCLAIM without COUNT");
    }
    int64_t idle = arg_int(c, 4);
    size_t count = (size_t)arg_int(c, 7), attempts = 10 * count, n = 0, gone = 0;
    struct reply *r = reply_array(c->a, 3), *found = reply_array(c->a, count), *deleted = reply_array(c->a, count);
    struct pending *p = pending_find(s, bound(c->argv[5], true));
    see_known(c, s);
    while (attempts > 0 && n + gone < count && p < s->pending + s->pending_n) {
        attempts--;
        if (is_deleted(s, p->id)) {
            deleted->element[gone++] = id_reply(c->a, p->id);
            do_op(c, (struct op){.kind = OP_ACK, .id = p->id}, c->argv[1]);
            continue;
        }
        if (idle == 0 || c->m->now_ms - p->at_ms >= idle) {
            found->element[n++] = take_over(c, s, p, p->times + 1, false);
        }
        p++;
    }
    found->elements = n;
    deleted->elements = gone;
    r->element[0] = id_reply(c->a, p < s->pending + s->pending_n ? p->id : (struct stream_id){0, 0});
    r->element[1] = found;
    r->element[2] = deleted;
    return r;
}

/* The words of XREADGROUP GROUP g consumer COUNT n [BLOCK ms] STREAMS key… >… : where the keys begin. */
static size_t first_stream(const struct command *c) {
    size_t at = str_is(c->argv[6], "BLOCK") ? 8 : 6;
    if (!str_is(c->argv[4], "COUNT") || !str_is(c->argv[at], "STREAMS")) {
        sim_die("XREADGROUP in another form");
    }
    return at + 1;
}

static struct reply *read_new(const struct command *c, struct str key, struct stream *s, size_t count) {
    struct entry *e = entry_find(s, (struct stream_id){s->delivered.ms, s->delivered.seq + 1});
    size_t n = (size_t)(s->entries + s->n - e);
    n = n < count ? n : count;
    if (n == 0) {
        return NULL;
    }
    struct reply *r = reply_array(c->a, 2);
    see_consumer(c, key, c->argv[3]);
    r->element[0] = reply_bytes(c->a, key);
    r->element[1] = reply_array(c->a, n);
    for (size_t i = 0; i < n; i++) { /* in the log each is a command of its own */
        r->element[1]->element[i] = entry_reply(c->a, &e[i]);
        do_op(c, (struct op){.kind = OP_PEND, .id = e[i].id, .a = c->argv[3], .n = c->m->now_ms, .times = 1}, key);
        do_op(c, (struct op){.kind = OP_DELIVERED, .id = e[i].id}, key);
        c->m->commands++;
    }
    return r;
}

static struct reply *xreadgroup(const struct command *c) {
    size_t from = first_stream(c), streams = (c->argc - from) / 2, n = 0;
    struct reply *r = reply_array(c->a, streams);
    for (size_t i = 0; i < streams; i++) {
        const struct stream *s = stream_of(c, c->argv[from + i]);
        if (s == NULL || !s->has_group) {
            return no_group(c, c->argv[from + i]);
        }
    }
    for (size_t i = 0; i < streams; i++) {
        struct str key = c->argv[from + i];
        struct stream *s = stream_of(c, key);
        struct reply *one = read_new(c, key, s, (size_t)arg_int(c, 5));
        if (one != NULL) {
            r->element[n++] = one;
        }
    }
    r->elements = n;
    return n > 0 ? r : reply_new(c->a, REPLY_NIL);
}

bool stream_would_block(const struct command *c) { return str_is(c->argv[0], "XREADGROUP") && str_is(c->argv[6], "BLOCK"); }

static struct reply *xinfo_groups(const struct command *c, const struct stream *s) {
    struct reply *r = reply_array(c->a, s->has_group ? 1 : 0);
    if (s->has_group) {
        struct reply *g = r->element[0] = reply_array(c->a, 6);
        g->element[0] = reply_bytes(c->a, STR("name"));
        g->element[1] = reply_bytes(c->a, STR("g"));
        g->element[2] = reply_bytes(c->a, STR("pending"));
        g->element[3] = reply_integer(c->a, (long long)s->pending_n);
        g->element[4] = reply_bytes(c->a, STR("last-delivered-id"));
        g->element[5] = id_reply(c->a, s->delivered);
    }
    return r;
}

static struct reply *xinfo_stream(const struct command *c, const struct stream *s) {
    struct reply *r = reply_array(c->a, 4);
    r->element[0] = reply_bytes(c->a, STR("length"));
    r->element[1] = reply_integer(c->a, (long long)s->n);
    r->element[2] = reply_bytes(c->a, STR("last-generated-id"));
    r->element[3] = id_reply(c->a, s->last);
    return r;
}

static struct reply *xinfo_consumers(const struct command *c, const struct stream *s) {
    size_t n = 0;
    for (const struct consumer *h = s->consumers; h != NULL; h = h->next) {
        n++;
    }
    struct reply *r = reply_array(c->a, n);
    n = 0;
    for (const struct consumer *h = s->consumers; h != NULL; h = h->next) {
        struct reply *one = r->element[n++] = reply_array(c->a, 6);
        long long held = 0;
        for (size_t i = 0; i < s->pending_n; i++) {
            held += s->pending[i].consumer == h;
        }
        one->element[0] = reply_bytes(c->a, STR("name"));
        one->element[1] = reply_bytes(c->a, h->name);
        one->element[2] = reply_bytes(c->a, STR("pending"));
        one->element[3] = reply_integer(c->a, held);
        one->element[4] = reply_bytes(c->a, STR("idle"));
        one->element[5] = reply_integer(c->a, c->m->now_ms > h->seen_ms ? c->m->now_ms - h->seen_ms : 0);
    }
    return r;
}

static struct reply *xgroup(const struct command *c) {
    struct stream *s = stream_of(c, c->argv[2]);
    if (str_is(c->argv[1], "CREATE")) {
        if (s != NULL && s->has_group) {
            return reply_text(c->a, REPLY_ERROR, "BUSYGROUP Consumer Group name already exists");
        }
        do_op(c, (struct op){.kind = OP_GROUP}, c->argv[2]);
        if (str_is(c->argv[4], "$") && s != NULL) {
            do_op(c, (struct op){.kind = OP_DELIVERED, .id = s->last}, c->argv[2]);
        }
        return reply_text(c->a, REPLY_STATUS, "OK");
    }
    if (!str_is(c->argv[1], "DELCONSUMER") || s == NULL || consumer_find(s, c->argv[4]) == NULL) {
        sim_die("XGROUP %.*s", STR_ARG(c->argv[1]));
    }
    size_t before = s->pending_n;
    do_op(c, (struct op){.kind = OP_DELCONSUMER, .a = c->argv[4]}, c->argv[2]);
    return reply_integer(c->a, (long long)(before - s->pending_n));
}

static struct reply *xinfo(const struct command *c) {
    const struct stream *s = stream_of(c, c->argv[2]);
    if (s == NULL) {
        return reply_text(c->a, REPLY_ERROR, "ERR no such key");
    }
    if (str_is(c->argv[1], "STREAM")) {
        return xinfo_stream(c, s);
    }
    return str_is(c->argv[1], "GROUPS") ? xinfo_groups(c, s) : xinfo_consumers(c, s);
}

static struct reply *xlen(const struct command *c) {
    const struct stream *s = stream_of(c, c->argv[1]);
    return reply_integer(c->a, s != NULL ? (long long)s->n : 0);
}
static struct reply *xdel(const struct command *c) { return xdel_or_ack(c, false); }
static struct reply *xack(const struct command *c) { return xdel_or_ack(c, true); }

struct reply *stream_run(struct command *c) {
    static const struct {
        const char *name;
        size_t args; /* at least */
        struct reply *(*run)(const struct command *c);
    } commands[] = {
        {"XADD", 5, xadd},
        {"XDEL", 3, xdel},
        {"XACK", 4, xack},
        {"XLEN", 2, xlen},
        {"XRANGE", 4, xrange},
        {"XPENDING", 3, xpending},
        {"XCLAIM", 6, xclaim},
        {"XAUTOCLAIM", 8, xautoclaim},
        {"XGROUP", 5, xgroup},
        {"XINFO", 3, xinfo},
        {"XREADGROUP", 9, xreadgroup},
    };
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (str_is(c->argv[0], commands[i].name) && c->argc >= commands[i].args) {
            return commands[i].run(c);
        }
    }
    return NULL;
}
