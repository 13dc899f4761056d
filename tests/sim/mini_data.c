/* Keys and ops. */
#include "mini_data.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { LOG_BLOCK = 256 << 10, LOG_MAX = 1 << 30, TEAR_AMONG = 150 };

void sim_die(const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    (void)vfprintf(stderr, fmt, ap);
    va_end(ap);
    (void)fputc('\n', stderr);
    abort();
}

void *sim_alloc(struct arena *a, size_t n) {
    void *p = arena_alloc(a, n > 0 ? n : 1);
    if (p == NULL) {
        sim_die("out of memory");
    }
    return p;
}

struct str sim_copy(struct arena *a, struct str s) {
    char *p = sim_alloc(a, s.n + 1);
    if (s.n > 0) {
        memcpy(p, s.p, s.n);
    }
    return str_of(p, s.n);
}

static void *grow(void *p, size_t n, size_t *cap, size_t size) {
    if (n < *cap) {
        return p;
    }
    *cap = *cap == 0 ? 16 : 2 * *cap;
    void *bigger = realloc(p, *cap * size);
    if (bigger == NULL) {
        sim_die("out of memory");
    }
    return bigger;
}

static void fields_free(struct key *k) {
    struct field *f, *next;
    HASH_ITER(hh, k->fields, f, next) {
        HASH_DEL(k->fields, f);
        free(f);
    }
}

static void key_remove(struct mini *m, struct key *k) {
    HASH_DEL(m->keys, k);
    fields_free(k);
    while (k->stream.consumers != NULL) {
        struct consumer *c = k->stream.consumers;
        k->stream.consumers = c->next;
        free(c);
    }
    free(k->stream.entries);
    free(k->stream.pending);
    free(k);
}

struct key *key_lookup(struct mini *m, struct str name) {
    struct key *k = NULL;
    HASH_FIND(hh, m->keys, name.p, name.n, k);
    return k;
}

struct key *key_find(struct mini *m, struct str name) {
    struct key *k = key_lookup(m, name);
    if (k != NULL && k->expire_ms != 0 && k->expire_ms <= m->now_ms) {
        op_do(m, &(struct op){.kind = OP_DELETE, .key = name});
        return NULL;
    }
    return k;
}

struct key *key_typed(struct mini *m, struct str name, enum value_type type) {
    struct key *k = key_find(m, name);
    if (k != NULL && k->type != type) {
        sim_die("%.*s is of another type", STR_ARG(name));
    }
    return k;
}

struct field *field_find(const struct key *k, struct str name) {
    struct field *f = NULL;
    if (k != NULL) {
        HASH_FIND(hh, k->fields, name.p, name.n, f);
    }
    return f;
}

int stream_id_cmp(struct stream_id a, struct stream_id b) {
    if (a.ms != b.ms) {
        return a.ms < b.ms ? -1 : 1;
    }
    return a.seq < b.seq ? -1 : a.seq > b.seq;
}

struct entry *entry_find(struct stream *s, struct stream_id id) {
    size_t from = 0, to = s->n;
    while (from < to) {
        size_t mid = from + (to - from) / 2;
        if (stream_id_cmp(s->entries[mid].id, id) < 0) {
            from = mid + 1;
        } else {
            to = mid;
        }
    }
    return s->entries + from;
}

struct pending *pending_find(struct stream *s, struct stream_id id) {
    size_t from = 0, to = s->pending_n;
    while (from < to) {
        size_t mid = from + (to - from) / 2;
        if (stream_id_cmp(s->pending[mid].id, id) < 0) {
            from = mid + 1;
        } else {
            to = mid;
        }
    }
    return s->pending + from;
}

struct consumer *consumer_find(const struct stream *s, struct str name) {
    struct consumer *c = s->consumers;
    while (c != NULL && !str_eq(c->name, name)) {
        c = c->next;
    }
    return c;
}

/* ---- applying ---- */

static struct key *key_make(struct mini *m, struct str name, enum value_type type) {
    struct key *k = key_lookup(m, name);
    if (k != NULL) {
        return k;
    }
    k = calloc(1, sizeof *k);
    if (k == NULL) {
        sim_die("out of memory");
    }
    k->name = name;
    k->type = type;
    HASH_ADD_KEYPTR(hh, m->keys, k->name.p, k->name.n, k);
    return k;
}

static void put_field(struct key *k, const struct op *o) {
    struct field *f = field_find(k, o->a);
    if (f == NULL) {
        f = calloc(1, sizeof *f);
        if (f == NULL) {
            sim_die("out of memory");
        }
        f->name = o->a;
        HASH_ADD_KEYPTR(hh, k->fields, f->name.p, f->name.n, f);
    }
    f->value = o->b;
    f->score = o->score;
}

static void drop_field(struct mini *m, struct key *k, struct str name) {
    struct field *f = field_find(k, name);
    if (f != NULL) {
        HASH_DEL(k->fields, f);
        free(f);
    }
    if (k->fields == NULL) {
        key_remove(m, k);
    }
}

static struct consumer *consumer_make(struct stream *s, struct str name) {
    struct consumer **at = &s->consumers, *c = consumer_find(s, name);
    if (c != NULL) {
        return c;
    }
    while (*at != NULL && (memcmp((*at)->name.p, name.p, (*at)->name.n < name.n ? (*at)->name.n : name.n) < 0)) {
        at = &(*at)->next; /* by name, as Redis lists them */
    }
    c = calloc(1, sizeof *c);
    if (c == NULL) {
        sim_die("out of memory");
    }
    c->name = name;
    c->next = *at;
    *at = c;
    return c;
}

static void add_entry(struct stream *s, const struct op *o) {
    s->entries = grow(s->entries, s->n, &s->cap, sizeof *s->entries);
    s->entries[s->n++] = (struct entry){o->id, o->a};
    s->last = o->id;
}

static void drop_entry(struct stream *s, struct stream_id id) {
    struct entry *e = entry_find(s, id);
    s->n--;
    memmove(e, e + 1, (size_t)(s->entries + s->n - e) * sizeof *e);
}

static void pend(struct stream *s, const struct op *o) {
    struct pending *p = pending_find(s, o->id);
    if (p == s->pending + s->pending_n || !stream_id_eq(p->id, o->id)) {
        size_t at = (size_t)(p - s->pending);
        s->pending = grow(s->pending, s->pending_n, &s->pending_cap, sizeof *s->pending);
        p = s->pending + at;
        memmove(p + 1, p, (s->pending_n - at) * sizeof *p);
        s->pending_n++;
    }
    *p = (struct pending){o->id, consumer_make(s, o->a), o->n, o->times};
}

static void drop_pending(struct stream *s, struct stream_id id) {
    struct pending *p = pending_find(s, id);
    if (p == s->pending + s->pending_n || !stream_id_eq(p->id, id)) {
        return;
    }
    s->pending_n--;
    memmove(p, p + 1, (size_t)(s->pending + s->pending_n - p) * sizeof *p);
}

static void drop_consumer(struct stream *s, struct str name) {
    struct consumer **at = &s->consumers;
    while (*at != NULL && !str_eq((*at)->name, name)) {
        at = &(*at)->next;
    }
    struct consumer *c = *at;
    if (c != NULL) {
        for (size_t i = s->pending_n; i-- > 0;) {
            if (s->pending[i].consumer == c) {
                drop_pending(s, s->pending[i].id);
            }
        }
        *at = c->next;
        free(c);
    }
}

static void apply_stream(struct mini *m, const struct op *o) {
    struct stream *s = &key_make(m, o->key, VALUE_STREAM)->stream;
    switch ((int)o->kind) {
    case OP_XADD:
        add_entry(s, o);
        break;
    case OP_XDEL:
        drop_entry(s, o->id);
        break;
    case OP_GROUP:
        s->has_group = true;
        break;
    case OP_DELIVERED:
        s->delivered = o->id;
        break;
    case OP_PEND:
        pend(s, o);
        break;
    case OP_ACK:
        drop_pending(s, o->id);
        break;
    case OP_SEEN:
        consumer_make(s, o->a)->seen_ms = o->n;
        break;
    default:
        drop_consumer(s, o->a);
    }
}

static void apply(struct mini *m, const struct op *o) {
    struct key *k = key_lookup(m, o->key);
    switch ((int)o->kind) {
    case OP_DELETE:
        key_remove(m, k);
        break;
    case OP_EXPIRE:
        k->expire_ms = o->n;
        break;
    case OP_SET:
        k = key_make(m, o->key, VALUE_STRING);
        k->string = o->a;
        k->expire_ms = 0;
        break;
    case OP_HSET:
        put_field(key_make(m, o->key, VALUE_HASH), o);
        break;
    case OP_ZADD:
        put_field(key_make(m, o->key, VALUE_ZSET), o);
        break;
    case OP_HDEL:
    case OP_ZREM:
        drop_field(m, k, o->a);
        break;
    case OP_FUNCTIONS:
        m->functions = true;
        break;
    default:
        apply_stream(m, o);
    }
}

/* Is a lease ended by this? */
static void watch_lease(struct mini *m, const struct op *o) {
    struct key *k = key_lookup(m, o->key);
    bool may = o->kind == OP_PEND || o->kind == OP_ACK || o->kind == OP_XDEL;
    if (!may || k == NULL) {
        return;
    }
    const struct pending *p = pending_find(&k->stream, o->id);
    bool there = p < k->stream.pending + k->stream.pending_n && stream_id_eq(p->id, o->id);
    if (there && (o->kind != OP_PEND || !str_eq(p->consumer->name, o->a))) {
        m->options.taken(m->options.self, o->key, p->consumer->name, m->now_ms - p->at_ms, o->id);
    }
}

void op_do(struct mini *m, const struct op *o) {
    watch_lease(m, o);
    m->log = grow(m->log, m->log_n, &m->log_cap, sizeof *m->log);
    struct op *logged = &m->log[m->log_n++];
    *logged = *o;
    logged->key = sim_copy(&m->log_bytes, o->key);
    logged->a = sim_copy(&m->log_bytes, o->a);
    logged->b = sim_copy(&m->log_bytes, o->b);
    if (!m->changed) {
        m->changed = true;
        m->calls++;
        m->commands = 0;
    }
    logged->call = m->calls;
    logged->command = m->commands;
    logged->step = m->step;
    m->added += o->kind == OP_XADD;
    apply(m, logged);
}

/* ---- crashes ---- */

static void clear(struct mini *m) {
    struct key *k, *next;
    HASH_ITER(hh, m->keys, k, next) { key_remove(m, k); }
    m->functions = false;
}

static void make(struct mini *m, size_t n) {
    clear(m);
    for (size_t i = 0; i < n; i++) {
        apply(m, &m->log[i]);
    }
}

static void replay(struct mini *m, size_t n) {
    make(m, n);
    m->log_n = n;
}

/* How many ops stand before the call that op `at` belongs to. */
static size_t call_begin(const struct mini *m, size_t at) {
    uint64_t call = m->log[at].call;
    while (at > 0 && m->log[at - 1].call == call) {
        at--;
    }
    return at;
}

static void new_run(struct mini *m) {
    uint64_t id = m->options.random(m->options.self, UINT64_MAX);
    (void)snprintf(m->run_id, sizeof m->run_id, "%016llx", (unsigned long long)id);
    functions_forget(m);
}

const char *mini_run_id(const struct mini *m) { return m->run_id; }

/* A call of several commands among the last ones before n: of each step one, and one of those, so that the rare steps have their turn.
 * Where it ends. */
static size_t call_to_tear(const struct mini *m, size_t n) {
    size_t ends[256] = {0}, kinds = 0, at = n;
    for (unsigned calls = 0; at > 0 && calls < TEAR_AMONG; calls++) {
        size_t *end = &ends[m->log[at - 1].step];
        if (m->log[at - 1].command > 0 && (*end == 0 || m->options.random(m->options.self, 3) == 0)) {
            kinds += *end == 0;
            *end = at;
        }
        at = call_begin(m, at - 1);
    }
    size_t which = kinds > 0 ? (size_t)m->options.random(m->options.self, kinds) : 0;
    for (size_t i = 0; i < 256 && kinds > 0; i++) {
        if (ends[i] != 0 && which-- == 0) {
            return ends[i];
        }
    }
    return n;
}

static void show(struct mini *m, size_t n, enum mini_moment moment) {
    make(m, n);
    m->options.look(m->options.self, moment);
}

struct mini_loss mini_crash(struct mini *m, uint64_t lost, bool torn) {
    const size_t before = m->log_n;
    const bool killed = lost == 0 && !torn;
    size_t n = m->torn_at < m->log_n ? m->torn_at : m->log_n;
    size_t tear = SIZE_MAX;
    while (n > 0 && lost-- > 0) {
        n = call_begin(m, n - 1);
    }
    if (torn && n > 0) {
        n = call_to_tear(m, n);
        size_t first = call_begin(m, n - 1), commands = m->log[n - 1].command, whole = n;
        if (commands > 0) {
            size_t kept = (size_t)m->options.random(m->options.self, commands) + 1; /* commands of it */
            tear = first;
            n = first;
            show(m, first, MINI_BEFORE);
            show(m, whole, MINI_AFTER);
            while (m->log[n].command < kept) {
                n++;
            }
        }
    }
    replay(m, n);
    if (tear != SIZE_MAX) {
        m->options.look(m->options.self, MINI_TORN);
    }
    new_run(m);
    m->torn_at = tear;
    return (struct mini_loss){n < before, tear != SIZE_MAX, killed};
}

void mini_wipe(struct mini *m) {
    replay(m, 0);
    new_run(m);
    m->torn_at = SIZE_MAX;
}

struct mini *mini_new(const struct mini_options *o) {
    struct mini *m = calloc(1, sizeof *m);
    if (m == NULL) {
        sim_die("out of memory");
    }
    m->options = *o;
    m->torn_at = SIZE_MAX;
    arena_init(&m->log_bytes, LOG_BLOCK, LOG_MAX);
    new_run(m);
    return m;
}

uint64_t mini_changes(const struct mini *m) { return m->added; }
void mini_refuse(struct mini *m, const char *error) { m->refusal = error; }
