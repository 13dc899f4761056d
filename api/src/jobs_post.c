/* POST /v1/jobs, and the answers of everything that makes a job. */
#include <base/json.h>

#include "handlers.h"
#include "server.h"

enum { ACCEPTED_BYTES_MAX = 4096, LOCATION_BYTES = 128 };

struct call *call_of_waiter(struct waiter *w) {
    return (struct call *)(void *)((char *)w - offsetof(struct call, waiter));
}

static struct accepted accepted_of(const struct submit *s) {
    const struct acceptance *a = &s->a;
    struct accepted out = {a->id, str_c(a->queue->name), a->type->class, a->due, a->estimate_s, &a->trace};
    if (a->verdict == ACCEPTED_KNOWN) {
        out.id = a->known_id;
        out.estimate_s = a->known_estimate_s;
        if (a->type->class == CLASS_JOURNAL) {
            out.queue = a->row.queue;
            out.due = a->row.due;
            out.trace = &a->row.trace;
        }
    }
    return out;
}

void answer_accepted(struct submit *s) {
    struct call *c = s->a.call;
    struct accepted accepted = accepted_of(s);
    char location[LOCATION_BYTES] = "/v1/jobs/";
    struct buf body;
    c->job = accepted.id;
    c->root = s->a.verdict == ACCEPTED_KNOWN && s->a.row.type.p != NULL ? s->a.row.root : accepted.id;
    uuid_text(accepted.id, location + strlen(location));
    call_header(c, "Location", str_c(location));
    buf_init(&body, ACCEPTED_BYTES_MAX);
    accepted_write(&body, &accepted);
    call_json(c, 202, &body);
    buf_free(&body);
}

/* Where the thing that this route has made is shown: the route that takes its id from our answers says so. */
static struct str location_of(struct call *c, const struct job_row *row) {
    struct str from = arena_printf(&c->arena, "%s#/", c->route->id);
    struct str out = STR_NONE;
    for (size_t i = 0; from.p != NULL && i < routes_n && out.p == NULL; i++) {
        struct str param = str_c(routes[i].param);
        struct str path = str_c(routes[i].path);
        if (!str_starts(param, from) || !str_starts(path, c->path) ||
            !str_is(str_of(path.p + c->path.n, path.n - c->path.n), "/{id}")) {
            continue;
        }
        json_t *result;
        if (err_is_set(json_read(row->result, &result))) {
            break;
        }
        struct str id = json_opt_str(result, param.p + from.n, STR_NONE);
        if (id.p != NULL) {
            out = arena_printf(&c->arena, "%.*s/%.*s", STR_ARG(c->path), STR_ARG(id));
        }
        json_decref(result);
    }
    return out;
}

void answer_result(struct call *c, const struct job_row *row) {
    int status = row->status >= 200 && row->status <= 599 ? row->status : 200;
    struct str location = status == 201 ? location_of(c, row) : STR_NONE;
    c->job = row->id;
    c->root = row->root;
    if (location.p != NULL) {
        call_header(c, "Location", location);
    }
    call_answer(c, status, status >= 400 ? "application/problem+json" : "application/json",
                row->result.n > 0 ? row->result : STR("{}"));
}

void answer_acceptance(struct acceptance *a) {
    struct submit *s = (struct submit *)(void *)((char *)a - offsetof(struct submit, a));
    if (submit_refused(s)) {
        call_problem_full(a->call, &s->problem);
        return;
    }
    if (a->verdict == ACCEPTED_KNOWN) {
        call_header(a->call, "Idempotency-Replayed", STR("true"));
    }
    answer_accepted(s);
}

void handle_jobs_post(struct call *c) {
    struct submit *s = submit_new(c);
    json_t *body = call_body(c);
    if (body == NULL) {
        return;
    }
    if (s == NULL) {
        call_fail(c, err_make(ERR_NOMEM, "job"));
    } else if (!submit_request(s, body, "JobRequest", c->req->body)) {
        call_problem_full(c, &s->problem);
    } else {
        s->a.done = answer_acceptance;
        acceptance_start(&s->a);
    }
    json_decref(body);
}
