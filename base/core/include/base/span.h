/* Spans: what was done for a request or a job, when, and as part of what (OpenTelemetry). Off until span_setup; then nothing here does more
 * than look at that. One thread.
 *
 * Whether a trace is recorded is decided where it begins, by its id, and travels in its flags. A request or an attempt that fails, or is
 * slow, is recorded even so, as far as this process has seen it: its spans are kept in its arena until it ends (struct span_scope). */
#ifndef BASE_SPAN_H
#define BASE_SPAN_H

#include <base/arena.h>
#include <base/clock.h>
#include <base/trace.h>

enum span_kind { SPAN_INTERNAL = 1, SPAN_SERVER, SPAN_CLIENT, SPAN_PRODUCER, SPAN_CONSUMER }; /* OTLP's numbers */

struct span_attr {
    const char *key; /* static */
    bool is_int;
    struct str s; /* p NULL: the attribute is left out */
    int64_t i;
};
#define SA_STR(k, v) ((struct span_attr){.key = (k), .s = (v)})
#define SA_C(k, v) ((struct span_attr){.key = (k), .s = str_c(v)})
#define SA_INT(k, v) ((struct span_attr){.key = (k), .is_int = true, .i = (int64_t)(v)})

struct span {
    struct trace trace; /* its trace and its own id */
    uint8_t parent[8];  /* zeros: it begins the trace */
    enum span_kind kind;
    struct str name;
    struct mono began, ended;
    const char *error;  /* error.type; NULL: it went well */
    struct str message; /* of the error, in words */
    const struct span_attr *attrs;
    size_t attrs_n;
    const struct trace *links;
    size_t links_n;
};
#define SPAN_ATTRS(...)                               \
    .attrs = (const struct span_attr[]){__VA_ARGS__}, \
    .attrs_n = sizeof((const struct span_attr[]){__VA_ARGS__}) / sizeof(struct span_attr)

/* Takes each span that is recorded; nothing of it may be kept. NULL turns spans off. Of a million traces that begin in this process
 * per_million are recorded. */
typedef void span_sink(void *arg, const struct span *s);
void span_setup(int64_t per_million, span_sink *sink, void *arg);
bool span_is_on(void);

/* A trace that begins here: sampled by its id when spans are on (every process comes to the same verdict), always when they are off. */
struct trace span_root(void);
void span_judge(struct trace *t); /* one that began where nobody judges; nothing while spans are off */
static inline bool trace_is_sampled(const struct trace *t) { return (t->flags & 1) != 0; }
void span_emit(const struct span *s); /* whatever its flags say */

/* ---- what was done for one request or attempt, until it ends ---- */

struct span_node;
struct span_scope {
    struct trace trace;  /* of its own span: what is done within it is a child of that */
    struct arena *arena; /* NULL: closed, or spans are off */
    uint64_t number;     /* no other scope of this process has it */
    struct span_node *first, **last;
    unsigned n;
};
enum { SPAN_SCOPE_MAX = 100 }; /* spans within one scope; later ones are left out */
/* False: it is closed, there is none (NULL), or it is full. Then no string need be copied for it. */
static inline bool span_scope_takes(const struct span_scope *s) { return s != NULL && s->arena != NULL && s->n < SPAN_SCOPE_MAX; }

/* trace: of its own span, made by the caller. While spans are off it stays closed, and its trace is that. */
void span_scope_open(struct span_scope *s, const struct trace *trace, struct arena *a);
/* A child. Copied, but for strings and links: those are static, or in the scope's arena. Does nothing when closed. */
void span_scope_add(struct span_scope *s, const struct span *child);
/* Another text for the message of each span within it that has one: in the scope's arena, too. */
void span_scope_reword(struct span_scope *s, struct str (*word)(void *arg, struct str message), void *arg);
/* Its own span and all within it go to the sink, if the trace is sampled or always is set; closed afterwards. True: they went. */
bool span_scope_close(struct span_scope *s, const struct span *own, bool always);

/* ---- calls: begun within a scope, which may be gone when they end ---- */

struct span_mark {
    uint64_t scope; /* 0: of none */
    uint32_t owner;
    struct mono began;
    struct trace trace; /* of the call's own span: what a traceparent says */
};

/* Who has scopes says here how to find one by its loop_owner; NULL: nobody. */
typedef struct span_scope *span_find(void *arg, uint32_t owner);
void span_owners(span_find *find, void *arg);
void span_begin(struct span_mark *m, uint32_t owner);
void span_begin_in(struct span_mark *m, const struct span_scope *s); /* m->owner stays 0: only span_end_in finds it again */
/* The scope in which it was begun, while that takes spans; else NULL. */
struct span_scope *span_mark_scope(const struct span_mark *m);
/* Adds the call's span to that scope, if there is one: trace, parent and times are filled in. */
void span_end(const struct span_mark *m, struct span *s);
void span_end_in(const struct span_mark *m, struct span_scope *scope, struct span *s);

/* One piece of work for several at once: a child of the first recorded of them, with links to the others. */
void span_emit_batch(struct span *s, const struct trace *const *of, size_t n);

#endif
