/* io/loop.h, io/timer.h, io/signals.h and the little of io/http_client.h that is asked for, on virtual time; and the processes, whose
 * mains block in loop_run. */
#include "world.h"

#include <base/clock.h>
#include <base/fault.h>
#include <base/log.h>
#include <io/http_client.h>
#include <io/otlp.h>
#include <io/signals.h>
#include <io/timer.h>
#include <stdlib.h>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

enum { STACK_BYTES = 512 << 10 };

struct loop {
    struct actor *actor;
    struct turn_end *first, **last;
    bool stop;
    uint32_t nobody, *owner;
};

struct timer {
    struct loop *loop;
    uint32_t owner;
    void (*cb)(void *arg);
    void *arg;
    int64_t every_us; /* 0: once */
    struct event *event;
};

struct signals {
    struct loop *loop;
    void (*cb)(void *arg, int signum);
    void *arg;
};

/* ---- stacks ---- */

static void switch_stacks(ucontext_t *from, ucontext_t *to, void **save, const void *bottom, size_t size) {
#ifdef __SANITIZE_ADDRESS__
    void *mine = NULL;
    __sanitizer_start_switch_fiber(save != NULL ? &mine : NULL, bottom, size);
    (void)swapcontext(from, to);
    __sanitizer_finish_switch_fiber(mine, NULL, NULL);
#else
    (void)save;
    (void)bottom;
    (void)size;
    (void)swapcontext(from, to);
#endif
}

static const void *main_bottom;
static size_t main_size;

static void leave(struct actor *a, bool for_ever) {
    switch_stacks(&a->inside, &a->outside, for_ever ? NULL : &a->fiber, main_bottom, main_size);
}

static void enter(struct actor *a) {
    struct actor *outer = world.actor;
    world.actor = a;
    switch_stacks(&a->outside, &a->inside, &a->fiber, a->stack, STACK_BYTES);
    world.actor = outer;
}

static void begin(unsigned low, unsigned high) {
    struct actor *a = (struct actor *)(((uintptr_t)high << 32) | low);
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(NULL, &main_bottom, &main_size);
#endif
    a->main(a->arg);
    a->alive = false;
    leave(a, true);
}

struct actor *actor_start(const char *name, void (*main)(void *arg), void *arg) {
    struct actor *a = sim_new(sizeof *a);
    (void)snprintf(a->name, sizeof a->name, "%s", name);
    a->main = main;
    a->arg = arg;
    a->alive = true;
    a->born_us = world.now_us;
    a->stack = sim_new(STACK_BYTES);
    LIST_INSERT_HEAD(&world.actors, a, link);
    (void)getcontext(&a->inside);
    a->inside.uc_stack.ss_sp = a->stack;
    a->inside.uc_stack.ss_size = STACK_BYTES;
    a->inside.uc_link = NULL;
    makecontext(&a->inside, (void (*)(void))begin, 2, (unsigned)(uintptr_t)a, (unsigned)((uintptr_t)a >> 32));
    trace("start %s", name);
    enter(a);
    actor_settle(a);
    return a;
}

/* What the process does at the end of a turn; and its end. */
void actor_settle(struct actor *a) {
    struct loop *l = a->loop;
    if (!a->alive || l == NULL) {
        return;
    }
    world.actor = a;
    while (l->first != NULL && !l->stop && !a->cut) {
        struct turn_end *hook = l->first;
        l->first = hook->next;
        if (l->first == NULL) {
            l->last = &l->first;
        }
        hook->scheduled = false;
        hook->run(hook->arg);
    }
    world.actor = NULL;
    if (l->stop || a->cut) {
        enter(a);
        trace("%s has ended", a->name);
        free(a->stack);
        a->stack = NULL;
    }
}

static void cut(struct actor *a) {
    a->cut = true;
    if (a->on_cut != NULL) {
        a->on_cut(a->arg);
    }
}

void actor_kill(struct actor *a) {
    if (!a->alive || a->cut) {
        return;
    }
    trace("kill %s", a->name);
    cut(a);
    if (world.actor != a) {
        actor_settle(a);
    }
}

void actor_stop(struct actor *a, int64_t us) {
    trace("stop %s for %lld ms", a->name, (long long)us / 1000);
    a->stopped_until = world.now_us + us;
    a->stood_still_us = us > a->stood_still_us ? us : a->stood_still_us;
}

/* ---- io/loop.h ---- */

struct err loop_new(struct loop **out) {
    struct loop *l = sim_new(sizeof *l);
    l->actor = world.actor;
    l->last = &l->first;
    l->owner = &l->nobody;
    *out = l;
    return OK;
}

uint32_t loop_owner(const struct loop *l) { return *l->owner; }

uint32_t loop_own(struct loop *l, uint32_t owner) {
    uint32_t before = *l->owner;
    *l->owner = owner;
    return before;
}

void loop_own_in(struct loop *l, uint32_t *cell) {
    *cell = *l->owner;
    l->owner = cell;
}

void loop_free(struct loop *l) {
    if (l != NULL) {
        l->actor->loop = NULL;
        free(l);
    }
}

void loop_run(struct loop *l) {
    l->actor->loop = l;
    leave(l->actor, false);
}

void loop_stop(struct loop *l) { l->stop = true; }

static struct mono virtual_mono(void *self) {
    (void)self;
    return (struct mono){world.now_us + 1};
}
static struct wall virtual_wall(void *self) {
    (void)self;
    return (struct wall){world_wall_ms() + (world.actor != NULL ? world.actor->wall_offset_ms : 0)};
}
struct mono loop_now(struct loop *l) {
    return virtual_mono(l);
}
struct wall loop_wall(struct loop *l) {
    return virtual_wall(l);
}

void loop_at_turn_end(struct loop *l, struct turn_end *hook) {
    if (!hook->scheduled) {
        hook->scheduled = true;
        hook->next = NULL;
        *l->last = hook;
        l->last = &hook->next;
    }
}

void loop_cancel_turn_end(struct loop *l, struct turn_end *hook) {
    for (struct turn_end **at = &l->first; *at != NULL; at = &(*at)->next) {
        if (*at == hook) {
            *at = hook->next;
            if (*at == NULL) {
                l->last = at;
            }
            hook->scheduled = false;
            return;
        }
    }
}

/* ---- timers, signals ---- */

struct err timer_new(struct loop *l, void (*cb)(void *arg), void *arg, struct timer **out) {
    struct timer *t = sim_new(sizeof *t);
    *t = (struct timer){.loop = l, .cb = cb, .arg = arg};
    *out = t;
    return OK;
}

static void on_timer(void *arg) {
    struct timer *t = arg;
    struct loop *l = t->loop; /* the callback may free the timer */
    if (t->every_us > 0) {
        world_after(t->every_us, l->actor, on_timer, t, &t->event);
    }
    uint32_t before = loop_own(l, t->owner);
    t->cb(t->arg);
    (void)loop_own(l, before);
}

static void start(struct timer *t, int64_t ms, int64_t every_us) {
    world_cancel(&t->event);
    t->owner = loop_owner(t->loop);
    t->every_us = every_us;
    /* Timers are late by up to a millisecond: two processes never keep step. */
    world_after(1000 * ms + world_between(0, 1000), t->loop->actor, on_timer, t, &t->event);
}

void timer_start(struct timer *t, int64_t ms) { start(t, ms, 0); }
void timer_start_every(struct timer *t, int64_t ms) { start(t, ms, 1000 * ms); }
void timer_stop(struct timer *t) { world_cancel(&t->event); }
bool timer_is_active(const struct timer *t) { return t->event != NULL; }
void timer_free(struct timer *t) {
    if (t != NULL) {
        world_cancel(&t->event);
        free(t);
    }
}

/* A process has one listener; it is found by its loop. */
static struct signals *listeners[64];

struct err signals_new(struct loop *l, const int *signums, size_t n, void (*cb)(void *arg, int signum), void *arg,
                       struct signals **out) {
    struct signals *s = sim_new(sizeof *s);
    size_t at = 0;
    (void)signums;
    (void)n;
    *s = (struct signals){l, cb, arg};
    while (listeners[at] != NULL) {
        at++;
    }
    listeners[at] = s;
    *out = s;
    return OK;
}

void signals_free(struct signals *s) {
    for (size_t i = 0; s != NULL && i < sizeof listeners / sizeof listeners[0]; i++) {
        if (listeners[i] == s) {
            listeners[i] = NULL;
        }
    }
    free(s);
}

struct signalled {
    struct actor *actor;
    int signum;
};

static void on_signal(void *arg) {
    struct signalled *g = arg;
    for (size_t i = 0; g->actor->alive && i < sizeof listeners / sizeof listeners[0]; i++) {
        if (listeners[i] != NULL && listeners[i]->loop == g->actor->loop) {
            listeners[i]->cb(listeners[i]->arg, g->signum);
            break;
        }
    }
    free(g);
}

void actor_signal(struct actor *a, int signum) {
    struct signalled *g = sim_new(sizeof *g);
    trace("signal %d to %s", signum, a->name);
    *g = (struct signalled){a, signum};
    world_after_owned(0, a, on_signal, g);
}

/* ---- what is not simulated ---- */

struct err http_client_new(struct loop *l, const struct http_client_options *o, struct http_client **out) {
    (void)l;
    (void)o;
    *out = NULL;
    return OK;
}
void http_client_close(struct http_client *c) { (void)c; }

/* Nobody asks what an attempt waits for. */
const char *http_client_waits(const struct http_client *c, uint32_t owner) {
    (void)c;
    (void)owner;
    return NULL;
}
struct err otlp_new(struct loop *l, const struct otlp_options *o, struct otlp **out) {
    (void)l;
    (void)o;
    *out = NULL;
    return OK;
}
void otlp_close(struct otlp *o) { (void)o; }

/* ---- base/clock.h, whole: so the system's is not linked ---- */

const struct clock clock_system = {virtual_mono, virtual_wall, NULL};
int64_t clock_unix_us(struct mono m) { return m.us; }
void wall_text(struct wall w, char out[WALL_TEXT_BYTES]) { (void)snprintf(out, WALL_TEXT_BYTES, "%lld", (long long)w.ms); }

/* ---- --wrap: names, random, log, failpoints ---- */

int __wrap_gethostname(char *out, size_t n);
int __wrap_gethostname(char *out, size_t n) {
    (void)snprintf(out, n, "sim");
    return 0;
}

pid_t __wrap_getpid(void);
pid_t __wrap_getpid(void) { return 1; }

void __wrap_crypto_random(void *out, size_t n);
void __wrap_crypto_random(void *out, size_t n) {
    for (size_t i = 0; i < n; i++) {
        ((uint8_t *)out)[i] = (uint8_t)world_random(256);
    }
}

void __wrap_crypto_random_id(void *out, size_t n);
void __wrap_crypto_random_id(void *out, size_t n) { __wrap_crypto_random(out, n); }

void __wrap_log_write(enum log_level level, const char *event, const struct log_field *fields, size_t n);
void __wrap_log_write(enum log_level level, const char *event, const struct log_field *fields, size_t n) {
    char text[300];
    size_t used = 0;
    (void)level;
    for (size_t i = 0; world.tracing && i < n && used < sizeof text - 1; i++) {
        const struct log_field *f = &fields[i];
        char id[UUID_TEXT_BYTES] = "";
        if (f->kind == LOG_UUID) {
            uuid_text(*(const struct uuid *)f->p, id);
        }
        int wrote = f->kind == LOG_STR    ? snprintf(text + used, sizeof text - used, " %s=%.*s", f->key, STR_ARG(f->s))
                    : f->kind == LOG_UUID ? snprintf(text + used, sizeof text - used, " %s=%s", f->key, id)
                    : f->kind == LOG_INT  ? snprintf(text + used, sizeof text - used, " %s=%lld", f->key, (long long)f->i)
                                          : 0;
        used += wrote > 0 ? (size_t)wrote : 0;
    }
    if (world.tracing) {
        (void)printf("%11.6f %-14s log %s%.*s\n", (double)world.now_us / 1e6, world.actor != NULL ? world.actor->name : "-",
                     event, (int)(used < sizeof text ? used : sizeof text - 1), used > 0 ? text : "");
    }
}

/* The borders between two steps of the protocol: a process dies there. */
void __wrap_fault_hit(enum failpoint p);
void __wrap_fault_hit(enum failpoint p) {
    if (world.actor != NULL && !world.actor->cut && world_fault(world.weather.death)) {
        trace("dies at failpoint %d", (int)p);
        cut(world.actor);
    }
}

bool __wrap_fault_switch(enum fault_switch s);
bool __wrap_fault_switch(enum fault_switch s) { return (world.switches >> s & 1) != 0; }
