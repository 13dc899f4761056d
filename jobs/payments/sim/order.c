#include "order.h"

#include <io/timer.h>

#include <stdlib.h>

enum { SLOW_MS = 2000 };

struct order {
    TAILQ_ENTRY(order) link; /* in sim.due */
    struct sim *sim;
    struct http_request *req; /* NULL once the client is gone */
    struct timer *timer;
    struct fault_plan plan;
    struct book_entry entry;
    int64_t not_after_ms;
    bool declined_token, slow;
    int status;       /* of the answer */
    const char *code; /* of a decline */
};

static void order_free(struct order *o) {
    o->sim->orders--;
    timer_free(o->timer);
    free(o);
}

static void on_gone(struct http_request *req) {
    struct order *o = req->user;
    o->req = NULL;
}

static void drop(struct order *o) {
    o->sim->count[COUNT_DROPPED]++;
    if (o->req != NULL) {
        http_drop(o->req);
    }
    order_free(o);
}

static void answer_ok(const struct order *o) {
    const struct book_entry *e = &o->entry;
    int64_t amount = e->amount - (o->plan.action == FAULT_WRONG_AMOUNT ? 1 : 0);
    sim_answer(o->req, 200, "{\"outcome\":\"ok\",\"provider_ref\":\"ch_%lld\",\"amount\":%lld,\"currency\":\"%s\"}",
               (long long)e->seq, (long long)amount, e->currency);
}

static void say(const struct order *o) {
    if (o->status == 200) {
        answer_ok(o);
    } else if (o->status == 410) {
        sim_answer(o->req, 410, "{\"outcome\":\"too_late\"}");
    } else if (o->status >= 500) {
        sim_answer(o->req, o->status, "{\"outcome\":\"error\"}");
    } else {
        sim_answer(o->req, o->status, "{\"outcome\":\"declined\",\"code\":\"%s\"}", o->code);
    }
}

static void answer(struct order *o) {
    if (o->req != NULL) {
        say(o);
    }
    order_free(o);
}

static void decide(struct order *o, enum sim_count count, int status, const char *code) {
    o->sim->count[count]++;
    o->status = status;
    o->code = code;
}

static void finish(struct order *o) {
    if (o->status == 200 && o->plan.action == FAULT_DROP_AFTER) {
        drop(o);
    } else if (o->slow) {
        timer_start(o->timer, SLOW_MS);
    } else {
        answer(o);
    }
}

/* The faults that come before the book. */
static void arrive(struct order *o) {
    struct sim *s = o->sim;
    if (o->plan.action == FAULT_DROP_BEFORE) {
        drop(o);
    } else if (o->plan.action == FAULT_ERROR500) {
        decide(o, COUNT_ERRORS, 500, NULL);
        answer(o);
    } else if (o->plan.action == FAULT_DECLINE) {
        decide(o, COUNT_DECLINED, 402, "card_declined");
        answer(o);
    } else {
        TAILQ_INSERT_TAIL(&s->due, o, link);
        loop_at_turn_end(s->loop, &s->commit);
    }
}

/* The one timer serves the delay before the book, and the slow answer behind it. */
static void on_timer(void *arg) {
    struct order *o = arg;
    if (o->status == 0) {
        arrive(o);
    } else {
        answer(o);
    }
}

/* not_after counts here, where the book is written. */
static void judge(struct order *o) {
    struct sim *s = o->sim;
    const char *objection = book_objection(s->book, &o->entry);
    o->entry.at = loop_wall(s->loop);
    if (o->entry.at.ms > o->not_after_ms + s->lateness_ms) {
        decide(o, COUNT_TOO_LATE, 410, NULL);
    } else if (o->declined_token) {
        decide(o, COUNT_DECLINED, 402, "card_declined");
    } else if (objection != NULL) {
        decide(o, COUNT_DECLINED, 409, objection);
    } else if (err_is_set(book_add(s->book, &o->entry))) {
        decide(o, COUNT_ERRORS, 503, NULL);
    } else {
        decide(o, (enum sim_count)o->entry.op, 200, NULL);
    }
}

void order_commit(void *sim) {
    struct sim *s = sim;
    struct order *o;
    struct order_list batch = TAILQ_HEAD_INITIALIZER(batch);
    TAILQ_CONCAT(&batch, &s->due, link);
    TAILQ_FOREACH(o, &batch, link) { judge(o); }
    struct err e = book_flush(s->book);
    if (err_is_set(e)) {
        sim_die("the book", e);
    }
    while ((o = TAILQ_FIRST(&batch)) != NULL) {
        TAILQ_REMOVE(&batch, o, link);
        finish(o);
    }
}

void order_take(struct sim *s, struct http_request *req, const struct order_spec *spec) {
    struct order *o = s->orders < ORDERS_MAX ? calloc(1, sizeof *o) : NULL;
    if (o == NULL || err_is_set(timer_new(s->loop, on_timer, o, &o->timer))) {
        free(o);
        sim_answer(req, 503, "{\"outcome\":\"error\"}");
        return;
    }
    s->orders++;
    o->sim = s;
    o->req = req;
    o->entry = spec->entry;
    o->not_after_ms = spec->not_after_ms;
    o->declined_token = str_is(spec->token, "tok_declined");
    o->slow = str_is(spec->token, "tok_slow");
    o->plan = faults_draw(&s->faults, spec->entry.op);
    if (str_is(spec->token, "tok_wrong_amount") && o->plan.action == FAULT_NONE) {
        o->plan.action = FAULT_WRONG_AMOUNT;
    }
    req->user = o;
    req->on_gone = on_gone;
    if (o->plan.delay_ms > 0) {
        timer_start(o->timer, o->plan.delay_ms);
    } else {
        arrive(o);
    }
}
