/* POSTs that are a job behind the scenes: orders, payments, notifications. The job's payload is the body with what the path and the
 * headers say; the answer is the job's result when it comes in time, else 202. */
#include <base/json.h>

#include "handlers.h"
#include "header.h"
#include "server.h"

enum { WAIT_DEFAULT_MS = 10000, VERSION_BYTES = 24 };

struct command {
    struct submit *submit;
    struct mono until; /* the wait's end */
    bool waits, accepted;
};

/* ---- the payload ---- */

static bool refuse_member(struct call *c, const char *name, struct str detail) {
    struct str pointer = arena_printf(&c->arena, "#/%s", name);
    const struct problem_error error = {pointer, detail};
    struct problem p = {.id = PROBLEM_INVALID,
                        .detail = arena_printf(&c->arena, "%.*s %.*s", STR_ARG(pointer), STR_ARG(detail)),
                        .errors = &error,
                        .errors_n = 1};
    call_problem_full(c, &p);
    return false;
}

/* The channels that there are, "email, webhook". */
static struct str channels(struct call *c) {
    const struct registry *r = c->api->rt->registry;
    struct str prefix = str_c(c->route->type);
    struct str out = STR("");
    const struct job_type *type;
    for (size_t i = 0; (type = registry_at(r, i, NULL)) != NULL; i++) {
        if (str_starts(str_c(type->name), prefix)) {
            out = arena_printf(&c->arena, "%.*s%s%s", STR_ARG(out), out.n > 0 ? ", " : "", type->name + prefix.n);
        }
    }
    return out;
}

/* A route's type that ends in a dot is completed by the body's channel. */
static const struct job_type *find_type(struct call *c, json_t *body) {
    const struct registry *r = c->api->rt->registry;
    struct str prefix = str_c(c->route->type);
    if (prefix.p[prefix.n - 1] != '.') {
        const struct job_type *only = registry_type(r, prefix, NULL);
        if (only == NULL) {
            call_problem(c, PROBLEM_NO_ROUTE, "This build has no job type %.*s", STR_ARG(prefix));
        }
        return only;
    }
    struct str channel = json_opt_str(body, "channel", STR(""));
    struct str name = arena_printf(&c->arena, "%.*s%.*s", STR_ARG(prefix), STR_ARG(channel));
    const struct job_type *type = channel.n > 0 ? registry_type(r, name, NULL) : NULL;
    if (type == NULL) {
        struct str known = channels(c);
        (void)refuse_member(c, "channel", arena_printf(&c->arena, "must be one of %.*s", STR_ARG(known)));
        return NULL;
    }
    (void)json_object_del(body, "channel");
    return type;
}

/* The path's id, under the name that the payload has for it. */
static bool put_id(struct call *c, json_t *body) {
    struct uuid id;
    char text[UUID_TEXT_BYTES];
    if (c->route->param == NULL) {
        return true;
    }
    const char *name = strrchr(c->route->param, '/') + 1;
    if (!call_param_uuid(c, &id)) {
        return false;
    }
    if (json_object_get(body, name) != NULL) {
        return refuse_member(c, name, STR("must be left out: the path has it"));
    }
    uuid_text(id, text);
    if (json_object_set_new(body, name, json_string(text)) != 0) {
        call_fail(c, err_make(ERR_NOMEM, "payload"));
        return false;
    }
    return true;
}

static bool put_version(struct call *c, json_t *body) {
    int64_t version;
    if ((c->route->flags & ROUTE_MATCH) == 0) {
        return true;
    }
    if (!call_if_match(c, &version)) {
        return false;
    }
    if (version == 0) {
        return true;
    }
    if (json_object_set_new(body, "if_version", json_integer(version)) != 0) {
        call_fail(c, err_make(ERR_NOMEM, "payload"));
        return false;
    }
    return true;
}

static const struct job_type *make_payload(struct call *c, json_t *body) {
    if (!json_is_object(body)) {
        (void)refuse_member(c, "", STR("must be an object"));
        return NULL;
    }
    const struct job_type *type = find_type(c, body);
    return type != NULL && put_id(c, body) && put_version(c, body) ? type : NULL;
}

/* ---- waiting ---- */

static void on_waited(struct waiter *w, const struct job_row *row) {
    struct call *c = call_of_waiter(w);
    struct command *k = c->state;
    if (row != NULL) {
        answer_result(c, row);
        return;
    }
    if (k->accepted) {
        answer_accepted(k->submit);
    }
}

static bool wait_for(struct call *c, struct uuid job, int64_t ms) {
    struct err e = wait_add(c->api->waits, &c->waiter, job, ms, on_waited);
    if (err_is_set(e)) {
        call_fail(c, e);
    }
    return !err_is_set(e);
}

/* The key's job is another one, made before: its answer is ours. */
static void attach(struct call *c, struct command *k) {
    struct acceptance *a = &k->submit->a;
    int64_t left_ms = (k->until.us - loop_now(c->api->rt->loop).us) / 1000;
    wait_remove(&c->waiter);
    call_header(c, "Idempotency-Replayed", STR("true"));
    if (a->row.type.p != NULL && !job_row_is_open(&a->row)) {
        if (k->waits || (c->route->flags & ROUTE_ASYNC) == 0) {
            answer_result(c, &a->row);
        } else {
            answer_accepted(k->submit);
        }
    } else if (left_ms <= 0 || !redis_is_up(c->api->rt->redis_connection) || wait_is_full(c->api->waits)) {
        answer_accepted(k->submit);
    } else if (wait_for(c, a->known_id, left_ms)) {
        /* The row is gone after this: what a 202 needs of it is kept. */
        a->row.queue = arena_str(&c->arena, a->row.queue);
        wait_look(c->api->waits, a->known_id);
    }
}

static void on_accepted(struct acceptance *a) {
    struct call *c = a->call;
    struct command *k = c->state;
    k->accepted = true;
    if (submit_refused(k->submit)) {
        wait_remove(&c->waiter);
        call_problem_full(c, &k->submit->problem);
    } else if (a->verdict == ACCEPTED_KNOWN) {
        attach(c, k);
    } else if (c->waiter.entry == NULL || !redis_is_up(c->api->rt->redis_connection)) {
        wait_remove(&c->waiter);    /* nothing will run while Redis is away */
        answer_accepted(k->submit); /* or nobody waits, or the time was up; nothing happens when the result was there before */
    }
}

/* The waiter stands before the job can end. No job is refused because too many wait: then this one does not. */
static void start(struct call *c, struct command *k, int64_t wait_ms) {
    k->until = (struct mono){loop_now(c->api->rt->loop).us + wait_ms * 1000};
    c->state = k;
    k->waits = wait_ms > 0;
    k->submit->a.done = on_accepted;
    if (wait_ms == 0 || wait_is_full(c->api->waits) || wait_for(c, k->submit->a.id, wait_ms)) {
        acceptance_start(&k->submit->a);
    }
}

static void run(struct call *c) {
    struct command *k = ARENA_NEW(&c->arena, struct command);
    struct submit *s = submit_new(c);
    json_t *body = k != NULL && s != NULL ? call_body(c) : NULL;
    if (k == NULL || s == NULL) {
        call_fail(c, err_make(ERR_NOMEM, "command"));
        return;
    }
    if (body == NULL) {
        return;
    }
    k->submit = s;
    const struct job_type *type = make_payload(c, body);
    int64_t wait_ms = type != NULL ? call_wait_ms(c, (c->route->flags & ROUTE_ASYNC) != 0 ? 0 : WAIT_DEFAULT_MS) : -1;
    if (wait_ms >= 0) {
        if (submit_job(s, type, body, "", c->req->body)) {
            start(c, k, wait_ms);
        } else {
            call_problem_full(c, &s->problem);
        }
    }
    json_decref(body);
}

void handle_orders_post(struct call *c) { run(c); }
void handle_orders_cancel(struct call *c) { run(c); }
void handle_payments_capture(struct call *c) { run(c); }
void handle_payments_void(struct call *c) { run(c); }
void handle_payments_refund(struct call *c) { run(c); }
void handle_notifications_post(struct call *c) { run(c); }
