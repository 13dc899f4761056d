/* Waiting on a loop for a condition, with a deadline. Allocates nothing, so that torture() does not reach it. */
#ifndef TESTS_WAIT_H
#define TESTS_WAIT_H

#include <io/loop.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct wait_ {
    bool (*done)(void *arg);
    void *arg;
    int64_t end_us;
    struct loop *loop;
    bool closed;
};

static inline void wait_tick_(uv_timer_t *t) {
    struct wait_ *w = t->data;
    if (w->done(w->arg) || loop_now(w->loop).us > w->end_us) {
        loop_stop(w->loop);
    }
}

static inline void wait_closed_(uv_handle_t *h) { ((struct wait_ *)h->data)->closed = true; }

/* Runs the loop until done(arg); false: not within ms. */
static inline bool wait_until(struct loop *l, int64_t ms, bool (*done)(void *arg), void *arg) {
    struct wait_ w = {done, arg, loop_now(l).us + ms * 1000, l, false};
    uv_timer_t t;
    (void)uv_timer_init(loop_uv(l), &t);
    t.data = &w;
    (void)uv_timer_start(&t, wait_tick_, 0, 1);
    while (!done(arg) && loop_now(l).us <= w.end_us) {
        loop_run(l);
    }
    uv_close((uv_handle_t *)&t, wait_closed_);
    while (!w.closed) {
        (void)uv_run(loop_uv(l), UV_RUN_NOWAIT);
    }
    return done(arg);
}

static inline bool wait_never_(void *arg) {
    (void)arg;
    return false;
}

static inline void wait_ms(struct loop *l, int64_t ms) { (void)wait_until(l, ms, wait_never_, NULL); }

#endif
