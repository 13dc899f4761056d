/* POST /v1/workers/{process}/quiet, resume, stop: an order to one worker process, wherever it runs. It is a row that the process's supervisor takes
 * with its next look (worker/src/orders.c), and answered when that has been. One that is not taken in time is taken back, so that an answer says
 * either that it holds or that nothing was done. */
#include <base/json.h>

#include "handlers.h"
#include "server.h"
#include "worker_find.h"

enum { TAKEN_WITHIN_MS = 3000, ASK_EVERY_MS = 100, ORDERED_BYTES_MAX = 4096 };

/* In its call's arena. */
struct order {
    const char *wish;
    struct worker worker;
    struct str reason, wanted; /* wanted: the consumer that is meant; p NULL: whichever has the name now */
    struct str id;             /* of its row */
    struct mono until;
};

/* $1 consumer, $2 supervisor, $3 wish. No row: there is no such supervisor. */
static const struct pg_stmt order_stmt = {
    "api.worker_order",
    "WITH s AS (SELECT name FROM platform.supervisor WHERE name = $2 AND seen_at > now() - interval '5 s'), "
    "o AS (INSERT INTO platform.worker_order (consumer, supervisor, wish) SELECT $1, name, $3 FROM s RETURNING id), " AUDIT_CTE(
        "o", "$4", "$5", "'worker.' || $3", "$6",
        "jsonb_build_object('consumer', $1::text, 'reason', $7::text)") " SELECT id FROM o",
    7,
};
static const struct pg_stmt outcome_stmt = {"api.worker_ordered",
                                            "SELECT outcome FROM platform.worker_order WHERE id = $1::bigint", 1};
/* No row: it was taken just now. */
static const struct pg_stmt withdraw_stmt = {
    "api.worker_withdraw",
    "WITH d AS (DELETE FROM platform.worker_order WHERE id = $1::bigint AND outcome IS NULL RETURNING consumer, supervisor), " AUDIT_CTE(
        "d", "$2", "$3", "'worker.withdraw'", "$4",
        "(SELECT jsonb_build_object('consumer', consumer, 'reason', 'not taken by ' || supervisor) FROM d)") " SELECT 1 FROM d",
    4,
};

static void ask(struct call *c);

static void answer(struct call *c, const struct order *o) {
    struct buf b;
    buf_init(&b, ORDERED_BYTES_MAX);
    buf_add_c(&b, "{\"process\":");
    json_add_string(&b, o->worker.process);
    job_add_text(&b, "consumer", o->worker.consumer);
    job_add_text(&b, "queue", o->worker.queue);
    job_add_text(&b, "supervisor", o->worker.supervisor);
    job_add_text(&b, "order", str_c(o->wish));
    buf_add_char(&b, '}');
    call_json(c, 200, &b);
    buf_free(&b);
}

static void on_withdrawn(struct call *c, const PGresult *res) {
    const struct order *o = c->state;
    if (PQntuples(res) == 0) {
        ask(c);
        return;
    }
    call_problem(c, PROBLEM_SUPERVISOR_AWAY, "%.*s did not take the order in time; it was taken back, and nothing was done",
                 STR_ARG(o->worker.supervisor));
}

static void withdraw(struct call *c, const struct order *o) {
    const struct pg_value values[] = {
        pg_text(o->id),
        pg_text(str_c(c->who.tenant)),
        pg_text(str_c(c->who.author)),
        pg_text(o->worker.process),
    };
    call_query(c, &withdraw_stmt, values, on_withdrawn);
}

static void on_time(struct waiter *w, const struct job_row *row) {
    (void)row;
    ask(call_of_waiter(w));
}

/* An order that cannot be waited for must not stand. */
static void ask_later(struct call *c, const struct order *o) {
    if (err_is_set(worker_ask_later(c, ASK_EVERY_MS, on_time))) {
        withdraw(c, o);
    }
}

static void on_outcome(struct call *c, const PGresult *res) {
    const struct order *o = c->state;
    struct str outcome = PQntuples(res) > 0 ? pg_col(res, 0, 0) : STR("");
    if (str_is(outcome, "done")) {
        answer(c, o);
    } else if (str_is(outcome, "gone")) {
        call_problem(c, PROBLEM_NOT_FOUND, "The process \"%.*s\" has ended", STR_ARG(o->worker.process));
    } else if (str_is(outcome, "leaving")) {
        call_problem(c, PROBLEM_WORKER_LEAVING, "It ends when what it runs has ended");
    } else if (mono_ms_since(loop_now(c->api->rt->loop), o->until) >= 0) {
        withdraw(c, o);
    } else {
        ask_later(c, o);
    }
}

static void ask(struct call *c) {
    const struct order *o = c->state;
    const struct pg_value id = pg_text(o->id);
    call_query(c, &outcome_stmt, &id, on_outcome);
}

static void on_ordered(struct call *c, const PGresult *res) {
    struct order *o = c->state;
    if (PQntuples(res) == 0) {
        call_problem(c, PROBLEM_SUPERVISOR_AWAY, "%.*s has not been heard of for five seconds; nothing was done",
                     STR_ARG(o->worker.supervisor));
        return;
    }
    o->id = arena_str(&c->arena, pg_col(res, 0, 0));
    o->until.us = loop_now(c->api->rt->loop).us + TAKEN_WITHIN_MS * 1000;
    if (o->id.p == NULL) {
        call_fail(c, err_make(ERR_NOMEM, "order"));
        return;
    }
    ask_later(c, o);
}

static void on_found(struct call *c, struct err err, const struct process *processes, size_t n) {
    struct order *o = c->state;
    if (!worker_found(c, err, processes, n, &o->worker)) {
        return;
    }
    if (o->worker.supervisor.p == NULL) {
        call_problem(c, PROBLEM_NO_WORKER, "No supervisor has started it: send it a signal");
        return;
    }
    if (o->wanted.p != NULL && !str_eq(o->wanted, o->worker.consumer)) {
        call_problem(c, PROBLEM_WORKER_REPLACED, "It is %.*s now", STR_ARG(o->worker.consumer));
        return;
    }
    const struct pg_value values[] = {
        pg_text(o->worker.consumer),   pg_text(o->worker.supervisor), pg_text(str_c(o->wish)), pg_text(str_c(c->who.tenant)),
        pg_text(str_c(c->who.author)), pg_text(o->worker.process),    pg_text(o->reason),
    };
    call_query(c, &order_stmt, values, on_ordered);
}

static void order(struct call *c, const char *wish) {
    struct order *o = ARENA_NEW(&c->arena, struct order);
    json_t *body = o != NULL ? call_body(c) : NULL;
    if (o == NULL) {
        call_fail(c, err_make(ERR_NOMEM, "order"));
        return;
    }
    if (body == NULL) {
        return;
    }
    if (call_check(c, types_body(c->api->types, "WorkerOrder"), body, "")) {
        struct str wanted = json_opt_str(body, "consumer", STR_NONE);
        *o = (struct order){
            .wish = wish,
            .reason = arena_str(&c->arena, json_opt_str(body, "reason", STR(""))),
            .wanted = wanted.p != NULL ? arena_str(&c->arena, wanted) : STR_NONE,
        };
        c->state = o;
        fleet_find_for(c, c->param, on_found);
    }
    json_decref(body);
}

void handle_workers_quiet(struct call *c) { order(c, "quiet"); }
void handle_workers_resume(struct call *c) { order(c, "resume"); }
void handle_workers_stop(struct call *c) { order(c, "stop"); }
