/* GET /v1/jobs/{id}/events: a job as it changes, until it has ended. Each event is the job as GET shows it, named by its state; its id
 * is of what it shows, so that whoever comes back with Last-Event-ID is told only what he has not seen.
 *
 * Ends are heard of at once, other changes within a second (wait.h, which looks for all followers together); then the job is looked at for
 * this one. */
#include <base/crypto.h>
#include <string.h>

#include "handlers.h"
#include "jobs_look.h"
#include "live.h"
#include "server.h"

enum {
    TICK_MS = 1000,
    QUIET_MAX = 15,  /* ticks without an event: then a comment keeps the connection */
    MISSES_MAX = 10, /* on end: then who does not read is cut */
    UNTOLD_MAX =
        6, /* looks on end at a stream-class job of which Redis knows nothing: one that has just begun to run is seen, with the
                        first renewal of its lease, before that; then it has ended */
    ID_BYTES = 33,
    EVENT_BYTES_MAX = 300 * 1024,
    SCRATCH_BLOCK_BYTES = 4096,
    SCRATCH_BYTES_MAX = 1 << 20,
};

/* In its call's arena. */
struct follow {
    struct job_look look;
    struct looker looker;
    struct arena scratch; /* of one look */
    char last[ID_BYTES];  /* what was shown last */
    bool streaming, over; /* over: the client has gone, or the stream was ended */
    bool looking;
    bool again; /* the next tick looks, too: the last look failed, or was not sent, or did not tell enough */
    bool waits; /* stream class, and waiting: that it has ended without an outcome nobody tells */
    unsigned quiet, misses, unsure, untold;
};

static void look_again(struct follow *f);

/* ---- the end ---- */

static void forget(struct follow *f) {
    if (f->over && !f->looking) {
        arena_free(&f->scratch);
    }
}

static void on_ended(struct call *c) {
    struct follow *f = c->state;
    lookers_leave(&c->api->followers, &f->looker);
    f->over = true;
    wait_remove(&c->waiter);
    forget(f);
}

/* An answer that is no stream. */
static void give_up(struct follow *f) {
    lookers_leave(&f->look.call->api->followers, &f->looker);
    f->over = true;
    forget(f);
}

/* ---- going on ---- */

static void keep_open(struct follow *f) {
    if (++f->quiet >= QUIET_MAX) {
        f->quiet = 0;
        f->misses = http_stream_send(f->look.call->req, STR(":\n\n")) ? 0 : f->misses + 1;
    }
}

static void go_on(struct follow *f);

/* Of what has ended the look says more than the row. */
static void on_waited(struct waiter *w, const struct job_row *row) {
    struct call *c = call_of_waiter(w);
    struct follow *f = c->state;
    if (row != NULL || w->changed || f->again || (f->waits && !job_look_may_wait(&f->look))) {
        look_again(f);
        return;
    }
    call_hold(c); /* the client may be gone when it is sent something */
    keep_open(f);
    go_on(f);
    call_release(c);
}

static void go_on(struct follow *f) {
    struct call *c = f->look.call;
    struct api *api = c->api;
    if (f->over) {
        return;
    }
    if (api->draining || !live_may_stay(c, &f->unsure) || f->misses > MISSES_MAX ||
        err_is_set(wait_add(api->waits, &c->waiter, f->look.id, TICK_MS, on_waited))) {
        http_stream_cut(c->req); /* whoever wants to comes back, to another process perhaps */
    }
}

static void look_again(struct follow *f) {
    arena_reset(&f->scratch);
    f->looking = true;
    f->again = false;
    job_look(&f->look);
}

/* ---- events ---- */

/* The body has no line ends but between JSON's tokens, where a space means the same. */
static void add_event(struct buf *b, struct str state, const char *id, struct str body) {
    buf_addf(b, "event: %.*s\nid: %s\ndata: ", STR_ARG(state.p != NULL ? state : STR("ended")), id);
    size_t from = b->n;
    buf_add(b, body);
    for (size_t i = from; i < b->n; i++) {
        b->p[i] = b->p[i] == '\n' || b->p[i] == '\r' ? ' ' : b->p[i];
    }
    buf_add_c(b, "\n\n");
}

static void begin(struct follow *f, const struct buf *event, bool ended) {
    struct call *c = f->look.call;
    struct buf first;
    buf_init(&first, EVENT_BYTES_MAX);
    buf_add_c(&first, "retry: 1000\n\n");
    buf_add(&first, buf_str(event));
    f->streaming = true;
    if (!call_stream(c, buf_str(&first), on_ended)) {
        on_ended(c);
    } else if (ended && !f->over) {
        http_stream_end(c->req);
    }
    buf_free(&first);
    if (!ended) {
        go_on(f);
    }
}

static void send(struct follow *f, const struct buf *event, bool ended) {
    struct http_request *req = f->look.call->req;
    bool sent = http_stream_send(req, buf_str(event));
    f->quiet = 0;
    f->misses = sent ? 0 : f->misses + 1;
    if (!sent) {
        f->last[0] = '\0'; /* it is shown with the next look */
        f->again = true;
    } else if (ended && !f->over) {
        http_stream_end(req);
    }
}

static void show(struct follow *f, const struct buf *event, bool news, bool ended) {
    if (!f->streaming && ended && !news) {
        call_answer(f->look.call, 204, NULL, STR("")); /* EventSource comes back no more */
        give_up(f);
        return;
    }
    if (!f->streaming) {
        begin(f, event, ended);
        return;
    }
    if (news) {
        send(f, event, ended);
    } else {
        keep_open(f);
    }
    go_on(f);
}

static void on_failed(struct job_look *l, struct err err) {
    struct follow *f = l->call->state;
    f->looking = false;
    if (f->over) {
        forget(f);
    } else if (f->streaming) {
        f->again = true;
        go_on(f); /* a server of ours is away: it comes back */
    } else {
        call_fail(l->call, err);
        give_up(f);
    }
}

static void on_missing(struct job_look *l) {
    struct follow *f = l->call->state;
    f->looking = false;
    if (f->over) {
        forget(f);
    } else if (f->streaming) {
        http_stream_end(l->call->req);
    } else {
        job_look_answer_missing(l->call);
        give_up(f);
    }
}

static void on_shown(struct job_look *l, struct str state, struct str body, bool ended) {
    struct follow *f = l->call->state;
    uint8_t hash[SHA256_BYTES];
    char id[ID_BYTES];
    struct buf event;
    struct err e = sha256(body, hash);
    if (err_is_set(e) || f->over) {
        on_failed(l, e);
        return;
    }
    hex_encode(hash, (ID_BYTES - 1) / 2, id);
    f->untold = state.p == NULL ? f->untold + 1 : 0;
    ended = ended && (f->untold == 0 || f->untold >= UNTOLD_MAX);
    f->again = f->untold > 0;
    f->waits = l->place.stream_class && str_is(state, "waiting");
    bool news = strcmp(id, f->last) != 0 && (f->untold == 0 || ended);
    buf_init(&event, EVENT_BYTES_MAX);
    if (news) {
        add_event(&event, state, id, body);
    }
    e = buf_status(&event);
    if (err_is_set(e)) {
        on_failed(l, e);
    } else {
        f->looking = false;
        if (news) {
            memcpy(f->last, id, sizeof id);
        }
        show(f, &event, news, ended);
        forget(f);
    }
    buf_free(&event);
}

/* ---- the route ---- */

static void follow(struct call *c, struct follow *f) {
    struct str last = http_request_header(c->req, "Last-Event-ID");
    arena_init(&f->scratch, SCRATCH_BLOCK_BYTES, SCRATCH_BYTES_MAX);
    (void)str_copy_c(last, f->last, sizeof f->last); /* what is longer is none of ours */
    f->look.arena = &f->scratch;
    f->look.shown = on_shown;
    f->look.missing = on_missing;
    f->look.failed = on_failed;
    c->state = f;
    c->waiter.watches = true;
    look_again(f);
}

void handle_jobs_events(struct call *c) {
    struct follow *f = ARENA_NEW(&c->arena, struct follow);
    if (f == NULL) {
        call_fail(c, err_make(ERR_NOMEM, "events"));
    } else if (str_is(c->req->method, "HEAD")) {
        call_answer(c, 200, "text/event-stream", STR(""));
    } else if (c->api->draining) {
        call_problem(c, PROBLEM_DRAINING, "Another process shows how jobs go on");
    } else if (job_look_init(c, &f->look) && lookers_enter(&c->api->followers, &f->looker, c)) {
        follow(c, f);
    }
}
