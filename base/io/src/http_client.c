/* Calls: their queue, their deadlines, and the one place where users' callbacks run. */
#include "http_call.h"

#include "blocking.h"
#include "http_vet.h"

#include <stdlib.h>

static void set_err(struct http_call *call, struct err e) {
    if (e.detail != call->detail) {
        size_t n = strnlen(e.detail, sizeof call->detail - 1);
        memcpy(call->detail, e.detail, n);
        call->detail[n] = '\0';
    }
    call->err = (struct err){e.code, call->detail};
}

/* Takes the call out of its list and hands it to the turn's end. */
static void leave(struct http_call *call) {
    struct http_client *c = call->client;
    if (call->state == CALL_WAITING) {
        TAILQ_REMOVE(&c->waiting, call, link);
        c->waiting_n--;
    } else if (call->state == CALL_RUNNING) {
        TAILQ_REMOVE(&c->running, call, link);
        c->in_flight--;
    }
    call->state = CALL_DONE;
    timer_free(call->deadline);
    call->deadline = NULL;
    TAILQ_INSERT_TAIL(&c->done, call, link);
    loop_at_turn_end(c->loop, &c->turn_end);
}

void http_call_finish(struct http_call *call, struct err e) {
    set_err(call, e);
    leave(call);
}

static void give_up(struct http_call *call, struct err why) {
    http_call_finish(call, call->state == CALL_RUNNING ? call->kind->stop(call, why) : why);
}

static void on_deadline(void *arg) { give_up(arg, err_make(ERR_NET_NOT_SENT, "the deadline passed before anything was sent")); }

static struct http_call *spare_take(struct http_client *c) {
    for (unsigned i = 0; i < CALL_SPARES; i++) {
        uint64_t bit = (uint64_t)1 << i;
        if ((c->spares_used & bit) == 0) {
            c->spares_used |= bit;
            c->spare[i] = (struct http_call){.spare = true};
            return &c->spare[i];
        }
    }
    return NULL;
}

static void call_free(struct http_call *call) {
    call->kind->free(call);
    timer_free(call->deadline);
    if (call->spare) {
        call->client->spares_used &= ~((uint64_t)1 << (call - call->client->spare));
    } else {
        free(call);
    }
}

void http_call_refuse(struct http_call *call, struct err e) {
    if (err_is_set(e)) {
        set_err(call, e);
    }
}

struct http_call *http_call_new(struct http_client *c, const struct call_kind *kind, void *arg) {
    struct http_call *call = calloc(1, sizeof *call);
    if (call != NULL && err_is_set(timer_new(c->loop, on_deadline, call, &call->deadline))) {
        free(call);
        call = NULL;
    }
    if (call == NULL && (call = spare_take(c)) == NULL) {
        return NULL;
    }
    call->client = c;
    call->kind = kind;
    call->arg = arg;
    call->owner = loop_owner(c->loop);
    span_begin(&call->mark, call->owner);
    if (call->spare) {
        set_err(call, err_make(ERR_NOMEM, "http call"));
    } else if (c->closed) {
        set_err(call, err_make(ERR_CLOSED, "the client is closing"));
    } else if (c->in_flight + c->waiting_n >= c->max_in_flight + c->max_waiting) {
        set_err(call, err_make(ERR_BUSY, "%zu calls in flight and %zu waiting", c->in_flight, c->waiting_n));
    }
    return call;
}

static void start_waiting(struct http_client *c) {
    struct http_call *call;
    while (c->in_flight < c->max_in_flight && (call = TAILQ_FIRST(&c->waiting)) != NULL) {
        TAILQ_REMOVE(&c->waiting, call, link);
        c->waiting_n--;
        TAILQ_INSERT_TAIL(&c->running, call, link);
        c->in_flight++;
        call->state = CALL_RUNNING;
        struct err e = call->kind->start(call);
        if (err_is_set(e)) {
            http_call_finish(call, e);
        }
    }
}

void http_call_submit(struct http_call *call, int64_t deadline_ms) {
    struct http_client *c = call->client;
    if (err_is_set(call->err)) {
        leave(call);
        return;
    }
    TAILQ_INSERT_TAIL(&c->waiting, call, link);
    c->waiting_n++;
    call->state = CALL_WAITING;
    timer_start(call->deadline, deadline_ms);
    start_waiting(c);
}

void http_call_starve(struct http_call *call) {
    struct http_client *c = call->client;
    call->starved = true;
    c->some_starved = true;
    loop_at_turn_end(c->loop, &c->turn_end);
}

static void stop_starved(struct http_client *c) {
    struct http_call *call = TAILQ_FIRST(&c->running);
    while (c->some_starved && call != NULL) {
        struct http_call *next = TAILQ_NEXT(call, link);
        if (call->starved) {
            give_up(call, err_make(ERR_NOMEM, "no memory to watch a socket"));
        }
        call = next;
    }
    c->some_starved = false;
}

static void deliver(struct http_client *c, struct http_call *call) {
    TAILQ_REMOVE(&c->done, call, link);
    if (err_is_set(call->err)) {
        call->err = err_make(call->err.code, "%s", call->detail); /* outlives the call, as details do */
    }
    struct loop *l = c->loop;
    uint32_t before = loop_own(l, call->owner);
    call->kind->deliver(call);
    (void)loop_own(l, before);
    call_free(call);
}

static void on_turn_end(void *arg) {
    struct http_client *c = arg;
    stop_starved(c);
    start_waiting(c);
    struct http_call *last = TAILQ_LAST(&c->done, call_list); /* what the callbacks add waits for the next turn */
    bool more = last != NULL;
    c->delivering = true;
    while (more) {
        struct http_call *call = TAILQ_FIRST(&c->done);
        more = call != last;
        deliver(c, call);
        if (c->closed) { /* by a callback: the rest is delivered, the lists are empty, and the memory is left to us */
            free(c);
            return;
        }
    }
    c->delivering = false;
    if (!TAILQ_EMPTY(&c->done) || !TAILQ_EMPTY(&c->waiting)) {
        loop_at_turn_end(c->loop, &c->turn_end);
    }
}

void http_cancel(struct http_call *call) {
    struct err e = err_make(ERR_CANCELLED, "cancelled by the caller");
    if (call->state == CALL_DONE) {
        set_err(call, e);
        return;
    }
    if (call->state == CALL_RUNNING) {
        (void)call->kind->stop(call, e);
    }
    http_call_finish(call, e);
}

static void client_free_parts(struct http_client *c) {
    blocking_close(c->mailers);
    lane_free(c->plain);
    lane_free(c->vetted);
    free(c->allow_cidr);
    free(c->user_agent);
    curl_global_cleanup();
}

struct err http_client_new(struct loop *l, const struct http_client_options *o, struct http_client **out) {
    const char *allow = o->allow_cidr != NULL ? o->allow_cidr : "";
    TRY(err_wrap(http_cidr_check(allow), "allow_cidr"));
    struct http_client *c = calloc(1, sizeof *c);
    if (c == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        free(c);
        return err_make(ERR_NOMEM, "http client");
    }
    c->loop = l;
    c->max_in_flight = o->max_in_flight;
    c->max_waiting = o->max_waiting;
    c->turn_end = (struct turn_end){.run = on_turn_end, .arg = c};
    TAILQ_INIT(&c->waiting);
    TAILQ_INIT(&c->running);
    TAILQ_INIT(&c->done);
    c->allow_cidr = strdup(allow);
    c->user_agent = strdup(o->user_agent != NULL ? o->user_agent : "");
    struct err e = c->allow_cidr != NULL && c->user_agent != NULL ? OK : err_make(ERR_NOMEM, "http client");
    if (!err_is_set(e)) {
        e = lane_new(l, c->max_in_flight, &c->plain);
    }
    if (!err_is_set(e)) {
        e = lane_new(l, c->max_in_flight, &c->vetted);
    }
    if (err_is_set(e)) {
        client_free_parts(c);
        free(c);
        return e;
    }
    *out = c;
    return OK;
}

static const char *find_waiting(const struct call_list *calls, uint32_t owner) {
    const struct http_call *call;
    TAILQ_FOREACH(call, calls, link) {
        if (call->owner == owner) {
            return call->kind->awaits;
        }
    }
    return NULL;
}

const char *http_client_waits(const struct http_client *c, uint32_t owner) {
    const char *what = find_waiting(&c->running, owner);
    return what != NULL ? what : find_waiting(&c->waiting, owner);
}

void http_client_close(struct http_client *c) {
    if (c == NULL) {
        return;
    }
    struct http_call *call;
    struct err e = {ERR_CLOSED, "the client was closed"}; /* not in the ring: it is used for many calls */
    c->closed = true;
    while ((call = TAILQ_FIRST(&c->running)) != NULL) {
        (void)call->kind->stop(call, e);
        http_call_finish(call, e);
    }
    while ((call = TAILQ_FIRST(&c->waiting)) != NULL) {
        http_call_finish(call, e);
    }
    while ((call = TAILQ_FIRST(&c->done)) != NULL) {
        deliver(c, call);
    }
    loop_cancel_turn_end(c->loop, &c->turn_end);
    client_free_parts(c);
    if (!c->delivering) {
        free(c);
    }
}
