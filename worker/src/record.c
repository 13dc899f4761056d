#include "record.h"

#include "failure.h"
#include "mask.h"

#include <stdio.h>

enum { SLOW_TIMES = 4, NAME_BYTES = 80 };

static struct span_scope *find(void *arg, uint32_t owner) {
    struct process *p = arg;
    struct held *h = owner > 0 && owner <= p->used_n ? &p->held[owner - 1] : NULL;
    return h != NULL && h->state == HELD_RUNNING ? &h->attempt.scope : NULL;
}

void record_open(struct process *p) { span_owners(find, p); }

/* A job is one message, so its attempt is a child of what created it, and not only linked to that; a repetition is linked to those
 * before it, whose spans came with their errors. */
void record_begin(struct held *h) {
    if (span_is_on()) {
        h->errors_before = h->attempt.job.errors;
        struct trace own = trace_child(&h->attempt.job.trace);
        span_scope_open(&h->attempt.scope, &own, &h->arena);
    }
}

const struct trace *record_id(const struct held *h) { return h->attempt.scope.number != 0 ? &h->attempt.scope.trace : NULL; }

static struct str text_of(struct arena *a, struct uuid id) {
    char text[UUID_TEXT_BYTES];
    uuid_text(id, text);
    return arena_str(a, str_c(text));
}

static struct str name_of(char room[NAME_BYTES], const char *operation, const struct process *p) {
    return str_of(room, (size_t)snprintf(room, NAME_BYTES, "%s %s", operation, p->queue->name));
}

/* Four times as long as its type usually takes, and long enough to matter. */
static bool was_slow(const struct kind *k, int64_t us) { return us >= SLOW_JOB_MS * 1000 && us > SLOW_TIMES * k->service_us; }

/* What was called may have repeated what it was given. */
static struct str masked(void *arg, struct str message) {
    struct held *h = arg;
    struct err said = mask_err(&h->arena, h->kind, h->attempt.payload, (struct err){ERR_REFUSED, message.p});
    return str_c(said.detail);
}

static void close_scope(struct held *h, const struct attempt_end *end, uint32_t number, bool failed, bool always) {
    const struct process *p = h->process;
    const struct envelope *job = &h->attempt.job;
    struct trace links[LIMIT_ERRORS_KEPT];
    char name[NAME_BYTES];
    struct span s = {
        .trace = h->attempt.scope.trace,
        .kind = SPAN_CONSUMER,
        .name = name_of(name, "process", p),
        .began = h->started,
        .ended = loop_now(p->rt->loop),
        .error = failed ? err_name(end->err.code) : NULL,
        .message = failed ? str_c(end->err.detail) : STR(""),
        .links = links,
        .links_n = failure_spans(h->errors_before, &job->trace, links),
        SPAN_ATTRS(SA_C("messaging.system", "redis"), SA_C("messaging.operation.name", "process"),
                   SA_C("messaging.operation.type", "process"), SA_C("messaging.destination.name", p->queue->name),
                   SA_INT("messaging.destination.partition.id", h->shard->number), SA_C("messaging.consumer.group.name", GROUP),
                   SA_C("messaging.client.id", p->consumer), SA_STR("messaging.message.id", text_of(&h->arena, job->id)),
                   SA_STR("messaging.message.conversation_id", text_of(&h->arena, job->root)),
                   SA_INT("messaging.message.body.size", h->attempt.payload.n), SA_STR("penstock.job.type", job->type),
                   SA_STR("penstock.tenant", job->tenant), SA_INT("penstock.attempt", number),
                   SA_C("penstock.outcome", attempt_label_name(h->label))),
    };
    memcpy(s.parent, job->trace.span_id, sizeof s.parent);
    span_scope_reword(&h->attempt.scope, masked, h);
    (void)span_scope_close(&h->attempt.scope, &s, always);
}

void record_attempt(struct held *h, const struct attempt_end *end, uint32_t number, int64_t us) {
    if (h->attempt.scope.arena == NULL) {
        return;
    }
    bool failed = h->label == LABEL_RETRY || h->label == LABEL_DEAD;
    bool slow = was_slow(h->kind, us);
    if (failed || slow || trace_is_sampled(&h->attempt.scope.trace)) {
        close_scope(h, end, number, failed, failed || slow);
    }
    h->attempt.scope.arena = NULL;
}

void record_receive(const struct process *p, struct held *const *held, size_t n, struct mono began) {
    struct trace links[LIMIT_BATCH];
    size_t links_n = 0;
    char name[NAME_BYTES];
    for (size_t i = 0; i < n && span_is_on(); i++) {
        if (trace_is_sampled(&held[i]->attempt.job.trace)) {
            links[links_n++] = held[i]->attempt.job.trace;
        }
    }
    if (links_n == 0) {
        return;
    }
    const struct span s = {
        .trace = trace_new(), /* it may have begun before the jobs were made */
        .kind = SPAN_CLIENT,
        .name = name_of(name, "receive", p),
        .began = began,
        .ended = clock_mono(&clock_system),
        .message = STR(""),
        .links = links,
        .links_n = links_n,
        SPAN_ATTRS(SA_C("messaging.system", "redis"), SA_C("messaging.operation.name", "receive"),
                   SA_C("messaging.operation.type", "receive"), SA_C("messaging.destination.name", p->queue->name),
                   SA_C("messaging.consumer.group.name", GROUP), SA_C("messaging.client.id", p->consumer),
                   SA_INT("messaging.batch.message_count", n)),
    };
    span_emit(&s);
}

static void emit(struct span *s, struct held *const *held, size_t n, struct mono began, struct err err) {
    const struct trace *of[LIMIT_BATCH];
    for (size_t i = 0; i < n; i++) {
        of[i] = attempt_trace(&held[i]->attempt);
    }
    s->kind = SPAN_CLIENT;
    s->began = began;
    s->ended = clock_mono(&clock_system);
    s->error = err_is_set(err) ? err_name(err.code) : NULL;
    s->message = str_c(err.detail);
    span_emit_batch(s, of, n);
}

void record_finish(struct held *const *held, size_t n, struct mono began, struct err err) {
    if (!span_is_on()) {
        return;
    }
    struct span s = {
        .name = STR("journal.finish"),
        SPAN_ATTRS(SA_C("db.system.name", "postgresql"), SA_C("db.query.summary", "journal.finish"),
                   SA_INT("db.operation.batch.size", n)),
    };
    s.attrs_n -= n == 1; /* by the convention, batches only */
    emit(&s, held, n, began, err);
}

void record_settle(const struct process *p, struct held *const *held, size_t n, struct mono began, struct err err) {
    char name[NAME_BYTES];
    if (!span_is_on()) {
        return;
    }
    struct span s = {
        .name = name_of(name, "ack", p),
        SPAN_ATTRS(SA_C("messaging.system", "redis"), SA_C("messaging.operation.name", "ack"),
                   SA_C("messaging.operation.type", "settle"), SA_C("messaging.destination.name", p->queue->name),
                   SA_C("messaging.consumer.group.name", GROUP), SA_INT("messaging.batch.message_count", n)),
    };
    s.attrs_n -= n == 1;
    emit(&s, held, n, began, err);
}
