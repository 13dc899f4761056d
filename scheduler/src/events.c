/* Events from each module's outbox to the modules that listen, in order per aggregate. A batch is delivered in waves: the oldest event of
 * each aggregate first, all at once; then the next ones. An event is marked published when every consumer has it in its inbox, or
 * has a job that will deliver it: so nothing depends on Redis keeping it, and a late commit is never skipped (the mark is on the row, not
 * a position). A crash delivers again, and the inbox says so. */
#include "scheduler.h"

#include <base/fault.h>
#include <base/json.h>
#include <base/log.h>
#include <base/metrics.h>
#include <base/span.h>
#include <jobs/event.h>
#include <jobs/follow_up.h>
#include <jobs/module_sql.h>
#include <stdio.h>
#include <stdlib.h>

enum { NAME_BYTES = 96 };

struct delivery {
    struct event event;
    bool delivered;
};

struct batch {
    struct scheduler *scheduler;
    size_t module;
    struct arena arena;
    struct delivery items[LIMIT_BATCH];
    size_t n, waiting;
    bool failed; /* a consumer could not be reached: the batch comes again */
    bool full;
};

/* One event on its way to one consumer. */
struct handing {
    struct batch *batch;
    const struct event *event;
    const struct module *consumer;
    struct event seen; /* as the consumer sees it: part of its own span, while spans are on */
    struct mono began;
};

static void next_wave(struct batch *b);
static void relay_module(struct scheduler *s, size_t module);

static void end_batch(struct batch *b, bool again) {
    struct scheduler *s = b->scheduler;
    size_t module = b->module;
    s->events_running[module] = false;
    arena_free(&b->arena);
    free(b);
    if (again) {
        relay_module(s, module);
    }
}

static void on_marked(void *arg, struct err err, const PGresult *res) {
    struct batch *b = arg;
    (void)res;
    if (!err_is_set(err)) {
        FAILPOINT(EVENT_AFTER_MARK);
        series_add(metric_series(M_RELAYED, "event", NULL, NULL), (double)b->n);
    }
    end_batch(b, !err_is_set(err) && b->full);
}

/* Marks the leading events that are through; what comes after a failed one of its aggregate stays. */
static void mark(struct batch *b) {
    struct buf ids;
    struct module_env *env = &b->scheduler->rt->modules[b->module];
    size_t n = 0;
    buf_init(&ids, 64 * LIMIT_BATCH);
    pg_array_begin(&ids);
    for (size_t i = 0; i < b->n; i++) {
        char room[PG_UUID_BYTES];
        if (b->items[i].delivered) {
            pg_array_add(&ids, pg_uuid(b->items[i].event.id, room));
            n++;
        }
    }
    pg_array_end(&ids);
    b->full = b->full && !b->failed;
    b->n = n;
    if (n == 0 || err_is_set(buf_status(&ids))) {
        end_batch(b, false);
    } else {
        const struct pg_value value = pg_text(buf_str(&ids));
        pg_exec(env->db, &env->module->sql->events_mark, &value, 0, 0, on_marked, b);
    }
    buf_free(&ids);
}

static void handed(struct handing *h, bool ok) {
    struct batch *b = h->batch;
    struct delivery *d = (struct delivery *)((char *)(uintptr_t)h->event - offsetof(struct delivery, event));
    free(h);
    if (!ok) {
        b->failed = true;
        d->delivered = false;
    }
    if (--b->waiting == 0) {
        next_wave(b);
    }
}

static void on_job_written(void *arg, struct err err) { handed(arg, !err_is_set(err)); }

/* A consumer that refuses an event gets it as a job of its own, keyed by consumer and event: retried, dead and replayed like any other. */
static void make_job(struct handing *h) {
    struct scheduler *s = h->batch->scheduler;
    struct buf payload;
    char id[UUID_TEXT_BYTES], aggregate[UUID_TEXT_BYTES], trace[TRACEPARENT_BYTES];
    struct journal_job job = {.tenant = STR("_system"),
                              .queue = STR("default"),
                              .type = STR("event.deliver"),
                              .type_version = 1,
                              .trace = h->event->trace};
    uuid_text(h->event->id, id);
    uuid_text(h->event->aggregate_id, aggregate);
    trace_text(&h->event->trace, trace);
    buf_init(&payload, LIMIT_PAYLOAD_BYTES);
    buf_addf(&payload, "{\"consumer\":\"%s\",\"id\":\"%s\",\"type\":", h->consumer->name, id);
    json_add_string(&payload, h->event->type);
    buf_add_c(&payload, ",\"source\":");
    json_add_string(&payload, h->event->source);
    buf_addf(&payload, ",\"aggregate_id\":\"%s\",\"aggregate_version\":%lld,\"tenant\":", aggregate,
             (long long)h->event->aggregate_version);
    json_add_string(&payload, h->event->tenant);
    buf_addf(&payload, ",\"traceparent\":\"%s\",\"at_ms\":%lld,\"data\":%.*s}", trace, (long long)h->event->at.ms,
             STR_ARG(h->event->data));
    job.payload = buf_str(&payload);
    struct err e = buf_status(&payload);
    if (!err_is_set(e)) {
        e = follow_up_id(&s->rt->modules[h->batch->module], job.queue, h->event->id, str_c(h->consumer->name), &job.id);
    }
    job.root = job.id;
    if (err_is_set(e)) {
        LOG(ERROR, "event.job_failed", LF_C("consumer", h->consumer->name), LF_ERR(e));
        handed(h, false);
    } else {
        journal_write(&s->rt->journal, &job, 1, on_job_written, h);
    }
    buf_free(&payload);
}

/* The types that a consumer hears are few, and its own. */
static void observe(const struct handing *h) {
    struct loop *l = h->batch->scheduler->rt->loop;
    series_observe_traced(metric_series(M_EVENT_DURATION, h->consumer->name, h->event->type.p, NULL),
                          (double)(loop_now(l).us - h->began.us) / 1e6, &h->event->trace, loop_wall(l));
}

static void record(const struct handing *h, struct err err) {
    const struct event *e = &h->seen;
    char name[NAME_BYTES], id[UUID_TEXT_BYTES];
    if (!span_is_on() || !trace_is_sampled(&e->trace)) {
        return;
    }
    int n = snprintf(name, sizeof name, "process %.*s", STR_ARG(e->type));
    uuid_text(e->id, id);
    struct span s = {
        .trace = e->trace,
        .kind = SPAN_CONSUMER,
        .name = str_of(name, (size_t)n < sizeof name ? (size_t)n : sizeof name - 1),
        .began = h->began,
        .ended = loop_now(h->batch->scheduler->rt->loop),
        .error = err_is_set(err) ? err_name(err.code) : NULL,
        .message = str_c(err.detail),
        SPAN_ATTRS(SA_C("messaging.system", "penstock.outbox"), SA_C("messaging.operation.name", "process"),
                   SA_C("messaging.operation.type", "process"), SA_STR("messaging.destination.name", e->type),
                   SA_C("messaging.consumer.group.name", h->consumer->name), SA_C("messaging.message.id", id),
                   SA_STR("penstock.tenant", e->tenant)),
    };
    memcpy(s.parent, h->event->trace.span_id, sizeof s.parent);
    span_emit(&s);
}

static void on_delivered(void *arg, struct err err, bool repeated) {
    struct handing *h = arg;
    const char *outcome = err_is_set(err) ? "failed" : repeated ? "repeated" : "done";
    record(h, err);
    metric_inc(M_EVENTS_DELIVERED, h->consumer->name, outcome, NULL);
    observe(h);
    if (!err_is_set(err)) {
        FAILPOINT(EVENT_AFTER_INBOX);
        handed(h, true);
    } else if (err_class(err.code) == ERR_CLASS_INFRA || err_class(err.code) == ERR_CLASS_CONFLICT) {
        handed(h, false);
    } else {
        LOG(WARN, "event.refused", LF_C("consumer", h->consumer->name), LF_UUID("event", &h->event->id),
            LF_STR("type", h->event->type), LF_ERR(err));
        make_job(h);
    }
}

static void deliver(struct batch *b, struct delivery *d) {
    struct runtime *rt = b->scheduler->rt;
    d->delivered = true;
    for (size_t m = 0; m < rt->registry->modules_n; m++) {
        const struct module *module = rt->registry->modules[m];
        for (size_t c = 0; c < module->consumers_n; c++) {
            if (!str_is(d->event.type, module->consumers[c].type)) {
                continue;
            }
            struct handing *h = malloc(sizeof *h);
            if (h == NULL) {
                b->failed = true;
                d->delivered = false;
                return;
            }
            *h = (struct handing){
                .batch = b, .event = &d->event, .consumer = module, .seen = d->event, .began = loop_now(rt->loop)};
            if (span_is_on()) {
                h->seen.trace = trace_child(&d->event.trace);
            }
            b->waiting++;
            module->consumers[c].deliver(&rt->modules[m], &h->seen, on_delivered, h);
        }
    }
}

/* True when an older event of the same aggregate is not through yet. */
static bool waits(const struct batch *b, size_t i) {
    for (size_t k = 0; k < i; k++) {
        if (!b->items[k].delivered && uuid_eq(b->items[k].event.aggregate_id, b->items[i].event.aggregate_id)) {
            return true;
        }
    }
    return false;
}

static void next_wave(struct batch *b) {
    size_t wave[LIMIT_BATCH], n = 0;
    for (size_t i = 0; i < b->n && !b->failed; i++) {
        if (!b->items[i].delivered && !waits(b, i)) {
            wave[n++] = i;
        }
    }
    if (n == 0) {
        mark(b);
        return;
    }
    b->waiting = 1; /* so that consumers that answer at once do not start the next wave within this one */
    for (size_t i = 0; i < n; i++) {
        deliver(b, &b->items[wave[i]]);
    }
    if (--b->waiting == 0) {
        next_wave(b);
    }
}

static bool read_event(struct batch *b, const PGresult *res, int row, struct event *out) {
    struct event e = {
        .type = arena_str(&b->arena, pg_col(res, row, 1)),
        .source = str_c(b->scheduler->rt->registry->modules[b->module]->name),
        .aggregate_version = pg_col_int(res, row, 3),
        .tenant = arena_str(&b->arena, pg_col(res, row, 4)),
        .data = arena_str(&b->arena, pg_col(res, row, 6)),
        .at = {pg_col_int(res, row, 7)},
    };
    if (!trace_parse(pg_col(res, row, 5), &e.trace)) {
        e.trace = trace_new();
    }
    bool ok = pg_col_uuid(res, row, 0, &e.id) && pg_col_uuid(res, row, 2, &e.aggregate_id) && e.type.p != NULL &&
              e.tenant.p != NULL && e.data.p != NULL;
    *out = e;
    return ok;
}

static void on_read(void *arg, struct err err, const PGresult *res) {
    struct batch *b = arg;
    for (int row = 0; !err_is_set(err) && row < PQntuples(res) && row < LIMIT_BATCH; row++) {
        if (!read_event(b, res, row, &b->items[b->n].event)) {
            break; /* no memory: those before it, the others next time */
        }
        b->n++;
    }
    if (b->n == 0) {
        end_batch(b, false);
        return;
    }
    b->full = b->n == LIMIT_BATCH;
    next_wave(b);
}

static void relay_module(struct scheduler *s, size_t module) {
    struct batch *b = s->events_running[module] || !scheduler_leads(s) ? NULL : calloc(1, sizeof *b);
    if (b == NULL) {
        return;
    }
    struct module_env *env = &s->rt->modules[module];
    *b = (struct batch){.scheduler = s, .module = module};
    arena_init(&b->arena, 16 << 10, 16 << 20);
    s->events_running[module] = true;
    pg_exec(env->db, &env->module->sql->events_read, NULL, 0, 0, on_read, b);
}

void events_tick(struct scheduler *s) {
    for (size_t m = 0; m < s->rt->registry->modules_n && scheduler_leads(s); m++) {
        relay_module(s, m);
    }
}
