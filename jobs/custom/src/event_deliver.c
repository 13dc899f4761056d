/* event.deliver: an event that its consumer refused when it was published. The consumer's inbox row is the gate here as there; the job's
 * own terminal row only says that it was delivered. */
#include "custom.h"

#include <base/json.h>
#include <jobs/event.h>
#include <jobs/runtime.h>
#include <stdio.h>

static void on_delivered(void *arg, struct err err, bool repeated) {
    struct attempt *a = arg;
    (void)repeated;
    if (err_is_set(err)) {
        attempt_fail(a, err);
    } else {
        attempt_close(a, OUTCOME_DONE, 200, STR("{\"delivered\":true}"));
    }
}

static const struct event_consumer *find_consumer(const struct module *m, struct str type) {
    for (size_t i = 0; m != NULL && i < m->consumers_n; i++) {
        if (str_is(type, m->consumers[i].type)) {
            return &m->consumers[i];
        }
    }
    return NULL;
}

/* The event with its strings in the attempt's arena. */
static struct err read_event(struct attempt *a, const json_t *p, struct event *out) {
    struct str type, source, tenant, id, aggregate, data;
    struct event e = {.at = {json_opt_i64(p, "at_ms", 0)}};
    struct buf text;
    TRY(json_get_str(p, "type", &type));
    TRY(json_get_str(p, "source", &source));
    TRY(json_get_str(p, "tenant", &tenant));
    TRY(json_get_str(p, "id", &id));
    TRY(json_get_str(p, "aggregate_id", &aggregate));
    TRY(json_get_i64(p, "aggregate_version", &e.aggregate_version));
    if (!uuid_parse(id, &e.id) || !uuid_parse(aggregate, &e.aggregate_id)) {
        return err_make(ERR_INVALID, "event ids do not parse");
    }
    if (!trace_parse(json_opt_str(p, "traceparent", STR("")), &e.trace)) {
        e.trace = a->job.trace;
    }
    buf_init(&text, LIMIT_PAYLOAD_BYTES);
    struct err err = json_write(json_object_get(p, "data"), &text);
    data = err_is_set(err) ? STR_NONE : arena_str(a->arena, buf_str(&text));
    buf_free(&text);
    TRY(err);
    e.type = arena_str(a->arena, type);
    e.source = arena_str(a->arena, source);
    e.tenant = arena_str(a->arena, tenant);
    e.data = data;
    if (e.type.p == NULL || e.source.p == NULL || e.tenant.p == NULL || e.data.p == NULL) {
        return err_make(ERR_NOMEM, "event");
    }
    *out = e;
    return OK;
}

void event_deliver(struct attempt *a) {
    json_t *payload;
    struct event *event = ARENA_NEW(a->arena, struct event);
    if (event == NULL) {
        attempt_fail(a, err_make(ERR_NOMEM, "event"));
        return;
    }
    if (!attempt_parse(a, &payload)) {
        return;
    }
    const struct module *m = registry_module(a->env->runtime->registry, json_opt_str(payload, "consumer", STR("")));
    const struct event_consumer *consumer = find_consumer(m, json_opt_str(payload, "type", STR("")));
    struct err e = consumer != NULL ? read_event(a, payload, event) : err_make(ERR_INVALID, "no such consumer of that event");
    json_decref(payload);
    if (err_is_set(e)) {
        attempt_fail(a, e);
        return;
    }
    consumer->deliver(runtime_module(a->env->runtime, m), event, on_delivered, a);
}
