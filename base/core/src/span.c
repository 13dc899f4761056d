#include <base/span.h>

#include <base/crypto.h>
#include <base/limits.h>

enum { RANDOM_AT = 9, RANDOM_BYTES = 7, MILLION = 1000000 };

struct span_node {
    struct span_node *next;
    struct span span;
    struct span_attr attrs[];
};

static struct {
    int64_t per_million;
    span_sink *sink;
    void *sink_arg;
    span_find *find;
    void *find_arg;
    uint64_t scopes; /* opened so far */
} spans;

void span_setup(int64_t per_million, span_sink *sink, void *arg) {
    spans.per_million = per_million;
    spans.sink = sink;
    spans.sink_arg = arg;
}

bool span_is_on(void) { return spans.sink != NULL; }

void span_owners(span_find *find, void *arg) {
    spans.find = find;
    spans.find_arg = arg;
}

/* By the 56 bits of the id that W3C wants to be random: the highest of them are recorded. */
static bool is_chosen(const struct trace *t) {
    uint64_t random = 0;
    for (int i = RANDOM_AT; i < RANDOM_AT + RANDOM_BYTES; i++) {
        random = random << 8 | t->trace_id[i];
    }
    uint64_t all = (uint64_t)1 << (8 * RANDOM_BYTES);
    return random >= all - all / MILLION * (uint64_t)spans.per_million && spans.per_million > 0;
}

void span_judge(struct trace *t) {
    if (span_is_on()) {
        t->flags = (uint8_t)((t->flags & ~1U) | (spans.per_million == MILLION || is_chosen(t) ? 1U : 0));
    }
}

struct trace span_root(void) {
    struct trace t = trace_new();
    span_judge(&t);
    return t;
}

void span_emit(const struct span *s) {
    if (span_is_on()) {
        spans.sink(spans.sink_arg, s);
    }
}

/* ---- scopes ---- */

void span_scope_open(struct span_scope *s, const struct trace *trace, struct arena *a) {
    *s = (struct span_scope){.trace = *trace};
    if (span_is_on()) {
        s->arena = a;
        s->number = ++spans.scopes;
        s->last = &s->first;
    }
}

void span_scope_add(struct span_scope *s, const struct span *child) {
    if (!span_scope_takes(s)) {
        return;
    }
    struct span_node *node = arena_alloc(s->arena, sizeof *node + child->attrs_n * sizeof node->attrs[0]);
    if (node == NULL) {
        return; /* a trace with a gap is better than a job that fails for it */
    }
    node->span = *child;
    node->span.attrs = node->attrs;
    if (child->attrs_n > 0) {
        memcpy(node->attrs, child->attrs, child->attrs_n * sizeof node->attrs[0]);
    }
    *s->last = node;
    s->last = &node->next;
    s->n++;
}

void span_scope_reword(struct span_scope *s, struct str (*word)(void *arg, struct str message), void *arg) {
    for (struct span_node *n = s->first; n != NULL; n = n->next) {
        if (n->span.message.n > 0) {
            n->span.message = word(arg, n->span.message);
        }
    }
}

bool span_scope_close(struct span_scope *s, const struct span *own, bool always) {
    bool goes = s->arena != NULL && (always || trace_is_sampled(&s->trace));
    if (goes) {
        s->trace.flags |= 1; /* for what is still done with others on its behalf */
        span_emit(own);
        for (const struct span_node *n = s->first; n != NULL; n = n->next) {
            span_emit(&n->span);
        }
    }
    s->arena = NULL;
    return goes;
}

/* ---- calls ---- */

void span_begin_in(struct span_mark *m, const struct span_scope *s) {
    *m = (struct span_mark){0};
    if (s != NULL && s->arena != NULL) {
        m->scope = s->number;
        m->began = clock_mono(&clock_system);
        m->trace = trace_child(&s->trace);
    }
}

void span_begin(struct span_mark *m, uint32_t owner) {
    const struct span_scope *s = span_is_on() && owner != 0 && spans.find != NULL ? spans.find(spans.find_arg, owner) : NULL;
    span_begin_in(m, s);
    m->owner = owner;
}

static bool is_begun_in(const struct span_mark *m, const struct span_scope *s) {
    return s != NULL && s->arena != NULL && m->scope == s->number;
}

struct span_scope *span_mark_scope(const struct span_mark *m) {
    struct span_scope *s = m->scope != 0 && spans.find != NULL ? spans.find(spans.find_arg, m->owner) : NULL;
    return is_begun_in(m, s) && span_scope_takes(s) ? s : NULL;
}

void span_end_in(const struct span_mark *m, struct span_scope *scope, struct span *s) {
    if (is_begun_in(m, scope)) {
        s->trace = m->trace;
        memcpy(s->parent, scope->trace.span_id, sizeof s->parent);
        s->began = m->began;
        s->ended = clock_mono(&clock_system);
        span_scope_add(scope, s);
    }
}

void span_end(const struct span_mark *m, struct span *s) { span_end_in(m, span_mark_scope(m), s); }

void span_emit_batch(struct span *s, const struct trace *const *of, size_t n) {
    struct trace links[LIMIT_BATCH];
    const struct trace *first = NULL;
    for (size_t i = 0; i < n && s->links_n < LIMIT_BATCH && span_is_on(); i++) {
        if (!trace_is_sampled(of[i])) {
            continue;
        }
        if (first == NULL) {
            first = of[i];
        } else {
            links[s->links_n++] = *of[i];
        }
    }
    if (first != NULL) {
        s->trace = trace_child(first);
        memcpy(s->parent, first->span_id, sizeof s->parent);
        s->links = links;
        span_emit(s);
    }
}
