#include <io/timer.h>

#include <stdlib.h>
#include <uv.h>

struct timer {
    uv_timer_t uv;
    void (*cb)(void *arg);
    void *arg;
    struct loop *loop;
    uint32_t owner;
};

static void on_timer(uv_timer_t *h) {
    struct timer *t = h->data;
    struct loop *l = t->loop; /* the callback may free the timer */
    uint32_t before = loop_own(l, t->owner);
    t->cb(t->arg);
    (void)loop_own(l, before);
}

struct err timer_new(struct loop *l, void (*cb)(void *arg), void *arg, struct timer **out) {
    struct timer *t = malloc(sizeof *t);
    if (t == NULL) {
        return err_make(ERR_NOMEM, "timer");
    }
    (void)uv_timer_init(loop_uv(l), &t->uv);
    t->uv.data = t;
    t->cb = cb;
    t->arg = arg;
    t->loop = l;
    *out = t;
    return OK;
}

static void start(struct timer *t, int64_t ms, int64_t every) {
    t->owner = loop_owner(t->loop);
    uv_update_time(t->uv.loop); /* a long turn must not make the timer fire early */
    (void)uv_timer_start(&t->uv, on_timer, ms > 0 ? (uint64_t)ms : 0, every > 0 ? (uint64_t)every : 0);
}

void timer_start(struct timer *t, int64_t ms) { start(t, ms, 0); }
void timer_start_every(struct timer *t, int64_t ms) { start(t, ms, ms); }
void timer_stop(struct timer *t) { (void)uv_timer_stop(&t->uv); }
bool timer_is_active(const struct timer *t) { return uv_is_active((const uv_handle_t *)&t->uv) != 0; }

static void on_closed(uv_handle_t *h) { free(h->data); }

void timer_free(struct timer *t) {
    if (t != NULL) {
        uv_close((uv_handle_t *)&t->uv, on_closed);
    }
}
