#include "worker_find.h"

#include <base/json.h>

#include "server.h"

bool worker_there(struct call *c, struct err err, size_t n) {
    if (err_is_set(err)) {
        call_fail(c, err);
    } else if (n == 0) {
        call_problem(c, PROBLEM_NOT_FOUND, "No process \"%.*s\" has been heard of in the last ten seconds", STR_ARG(c->param));
    }
    return !err_is_set(err) && n > 0;
}

bool worker_found(struct call *c, struct err err, const struct process *processes, size_t n, struct worker *out) {
    if (!worker_there(c, err, n)) {
        return false;
    }
    const json_t *beat = processes[0].beat;
    struct worker w = {
        .process = c->param,
        .consumer = arena_str(&c->arena, json_opt_str(beat, "consumer", STR(""))),
        .supervisor = json_opt_str(beat, "supervisor", STR_NONE),
        .queue = arena_str(&c->arena, json_opt_str(beat, "queue", STR(""))),
        .beat_age_ms = loop_wall(c->api->rt->loop).ms - json_opt_i64(beat, "at_ms", 0),
    };
    w.supervisor = w.supervisor.p != NULL ? arena_str(&c->arena, w.supervisor) : STR_NONE;
    if (w.consumer.n == 0) {
        call_problem(c, PROBLEM_NO_WORKER, "It is a process of another kind");
        return false;
    }
    *out = w;
    return true;
}

/* There is no job of this id: the time is what is waited for. */
struct err worker_ask_later(struct call *c, int64_t ms, void (*then)(struct waiter *w, const struct job_row *row)) {
    struct uuid nobody = id_new_job(&c->api->rt->ids, (struct job_place){0});
    return wait_add(c->api->waits, &c->waiter, nobody, ms, then);
}
