/* The supervisor: starts and drains worker processes, ends those that hang, and reaps the dead. */
#include "supervisor.h"

#include <base/log.h>
#include <base/metrics.h>
#include <io/signals.h>
#include <stdlib.h>

enum { POLL_MS = 500, HUNG_MS = 15000, SPAWN_DELAY_MIN_MS = 100, SPAWN_DELAY_MAX_MS = 1000, HEALTHY_MS = 5000 };

size_t supervisor_count(const struct supervisor *s, const struct queue_info *q, bool leaving_too) {
    size_t n = 0;
    struct child *c;
    TAILQ_FOREACH(c, &s->alive, link) { n += !c->quarantine && (q == NULL || c->queue == q) && (leaving_too || !c->leaving); }
    return n;
}

size_t supervisor_count_quarantine(const struct supervisor *s, const struct queue_info *q) {
    size_t n = 0;
    struct child *c;
    TAILQ_FOREACH(c, &s->alive, link) { n += c->quarantine && c->queue == q; }
    return n;
}

static int free_slot(const struct supervisor *s, const struct queue_info *q, bool quarantine) {
    for (int slot = 0;; slot++) {
        struct child *c;
        bool used = false;
        TAILQ_FOREACH(c, &s->alive, link) { used |= c->queue == q && c->quarantine == quarantine && c->slot == slot; }
        if (!used) {
            return slot;
        }
    }
}

bool supervisor_may_start(const struct supervisor *s) { return loop_now(s->rt->loop).us >= s->spawn_after_us; }

void supervisor_start_one(struct supervisor *s, const struct queue_info *q, bool quarantine) {
    int slot = free_slot(s, q, quarantine);
    struct err e = child_spawn(s, q, slot, quarantine);
    if (err_is_set(e)) {
        LOG(ERROR, "worker.spawn_failed", LF_C("queue", q->name), LF_ERR(e));
        return;
    }
    LOG(INFO, "worker.started", LF_C("queue", q->name), LF_INT("slot", slot), LF_BOOL("quarantine", quarantine));
}

void supervisor_tell_to_leave(struct child *c) {
    c->leaving = true;
    c->told = loop_now(c->supervisor->rt->loop);
    child_signal(c, SIGTERM);
}

/* A process that has not beaten for HUNG_MS consumes nothing and holds what it has; one that was told to leave has its drain and some time
 * more. */
static void end_hung(struct supervisor *s) {
    struct mono now = loop_now(s->rt->loop);
    bool stood_still = mono_ms_since(now, s->polled) > 4 * POLL_MS;
    struct child *c;
    s->polled = now;
    TAILQ_FOREACH(c, &s->alive, link) {
        if (c->beats != c->table->beats || stood_still) {
            c->beats = c->table->beats;
            c->beat = now;
        }
        bool hangs = mono_ms_since(now, c->beat) > HUNG_MS;
        bool lingers = c->leaving && mono_ms_since(now, c->told) > s->rt->conf->worker_drain_ms + HUNG_MS;
        if (hangs || lingers) {
            LOG(ERROR, "worker.hung", LF_C("queue", c->queue->name), LF_INT("slot", c->slot), LF_BOOL("leaving", c->leaving));
            c->beat = c->told = now; /* once in a while is enough */
            c->hung |= hangs;
            child_signal(c, SIGKILL);
        }
    }
}

/* TSTP and CONT for the children that hear them: one that was just started would be stopped by the system instead. */
void supervisor_pass_on_quiet(struct supervisor *s) {
    struct child *c;
    TAILQ_FOREACH(c, &s->alive, link) {
        bool quiet = s->quiet || c->to_be_quiet;
        if (c->quiet != quiet && c->table->beats > 0) {
            c->quiet = quiet;
            child_signal(c, quiet ? SIGTSTP : SIGCONT);
        }
    }
}

static void tell_status(struct supervisor *s, enum service_state state) {
    s->told_n = supervisor_count(s, NULL, true);
    service_tell(s->rt->service, state, "%zu worker processes%s", s->told_n, s->quiet ? ", quiet" : "");
}

static void on_poll(void *arg) {
    struct supervisor *s = arg;
    end_hung(s);
    supervisor_pass_on_quiet(s);
    reap(s);
    if (s->leaving && TAILQ_EMPTY(&s->alive) && mono_ms_since(loop_now(s->rt->loop), s->left) > s->rt->conf->worker_drain_ms) {
        loop_stop(s->rt->loop); /* only Redis is missing: the leases will do it */
        return;
    }
    if (s->ready && !s->leaving && s->told_n != supervisor_count(s, NULL, true)) {
        tell_status(s, SERVICE_STATUS);
    }
    if (s->ready && !s->leaving) {
        follow_look(s);
    }
}

void supervisor_child_gone(struct child *c, int64_t status, int signum) {
    struct supervisor *s = c->supervisor;
    int64_t ran_ms = mono_ms_since(loop_now(s->rt->loop), c->started);
    TAILQ_REMOVE(&s->alive, c, link);
    TAILQ_INSERT_TAIL(&s->dead, c, link);
    crash_judge(c, status, signum, crash_oom_kills());
    LOG(INFO, "worker.exited", LF_C("queue", c->queue->name), LF_INT("slot", c->slot), LF_BOOL("quarantine", c->quarantine),
        LF_INT("status", status), LF_INT("signal", signum), LF_C("crash", c->crash), LF_BOOL("killed", c->killed),
        LF_INT("ran_ms", ran_ms));
    if (c->crash[0] != '\0') {
        metric_inc(M_CRASHES, c->queue->name, c->crash, NULL);
    }
    if (!c->leaving && c->table->ready == 0 && ran_ms < HEALTHY_MS) { /* it did not get so far as to run a job */
        s->spawn_delay_ms = s->spawn_delay_ms == 0 ? SPAWN_DELAY_MIN_MS : s->spawn_delay_ms * 2;
        s->spawn_delay_ms = s->spawn_delay_ms < SPAWN_DELAY_MAX_MS ? s->spawn_delay_ms : SPAWN_DELAY_MAX_MS;
    } else {
        s->spawn_delay_ms = 0;
    }
    s->spawn_after_us = loop_now(s->rt->loop).us + s->spawn_delay_ms * 1000;
    on_poll(s);
}

static void leave(struct supervisor *s) {
    struct child *c;
    if (s->leaving && TAILQ_EMPTY(&s->alive)) { /* asked again, and only Redis is missing: the leases will do it */
        loop_stop(s->rt->loop);
        return;
    }
    if (s->leaving) { /* asked again: now */
        TAILQ_FOREACH(c, &s->alive, link) { child_signal(c, SIGQUIT); }
        return;
    }
    LOG(INFO, "supervisor.drain", LF_INT("workers", supervisor_count(s, NULL, true)));
    service_tell(s->rt->service, SERVICE_STOPPING, "%zu worker processes finish what they run", supervisor_count(s, NULL, true));
    s->leaving = true;
    s->left = loop_now(s->rt->loop);
    follow_end(s);
    TAILQ_FOREACH(c, &s->alive, link) { supervisor_tell_to_leave(c); }
    if (TAILQ_EMPTY(&s->alive) && TAILQ_EMPTY(&s->dead)) {
        loop_stop(s->rt->loop);
    }
}

/* Only what changed makes processes leave: they start anew with what holds now. */
static void reload(struct supervisor *s) {
    struct child *c;
    if (s->leaving) {
        return;
    }
    service_tell(s->rt->service, SERVICE_RELOADING, "reads handler.types");
    bool changed = declare_again(s);
    TAILQ_FOREACH(c, &s->alive, link) {
        if (changed && !c->leaving) {
            supervisor_tell_to_leave(c);
        }
    }
    tell_status(s, SERVICE_READY);
    on_poll(s);
}

static void on_signal(void *arg, int signum) {
    struct supervisor *s = arg;
    struct child *c;
    switch (signum) {
    case SIGHUP:
        reload(s);
        break;
    case SIGTTIN:
        follow_change(s, 1);
        break;
    case SIGTTOU:
        follow_change(s, -1);
        break;
    case SIGTSTP:
    case SIGCONT:
        s->quiet = signum == SIGTSTP;
        TAILQ_FOREACH(c, &s->alive, link) {
            c->quiet = !(s->quiet || c->to_be_quiet);
        } /* it may have been told otherwise by somebody else */
        supervisor_pass_on_quiet(s);
        tell_status(s, SERVICE_STATUS);
        break;
    default:
        leave(s);
        break;
    }
}

static void on_ready(void *arg) {
    struct supervisor *s = arg;
    s->ready = true;
    LOG(INFO, "supervisor.ready", LF_C("process", s->rt->process));
    on_poll(s);
}

static void add_beat(void *arg, struct buf *json) {
    struct supervisor *s = arg;
    buf_addf(json, ",\"workers\":%zu", supervisor_count(s, NULL, true));
}

/* What is still in the lists when the loop has stopped: the dead whose entries Redis did not let us hand back. */
static void forget_all(struct supervisor *s) {
    while (!TAILQ_EMPTY(&s->alive)) {
        struct child *c = TAILQ_FIRST(&s->alive);
        TAILQ_REMOVE(&s->alive, c, link);
        TAILQ_INSERT_TAIL(&s->dead, c, link);
    }
    while (!TAILQ_EMPTY(&s->dead)) {
        child_bury(TAILQ_FIRST(&s->dead));
    }
}

int supervisor_main(const struct worker_options *o) {
    struct supervisor s = {.options = o, .types_fd = -1};
    struct signals *signals = NULL;
    static const int wanted[] = {SIGTERM, SIGINT, SIGTTIN, SIGTTOU, SIGTSTP, SIGCONT, SIGHUP};
    TAILQ_INIT(&s.alive);
    TAILQ_INIT(&s.dead);
    const struct runtime_options runtime = {
        .role = "worker", .conf = o->conf, .registry = o->registry, .beat = add_beat, .arg = &s};
    struct err e = runtime_open(&runtime, &s.rt);
    if (!err_is_set(e)) {
        e = declare_publish(&s);
    }
    if (!err_is_set(e)) {
        e = timer_new(s.rt->loop, on_poll, &s, &s.poll);
    }
    if (!err_is_set(e)) {
        e = signals_new(s.rt->loop, wanted, sizeof wanted / sizeof wanted[0], on_signal, &s, &signals);
    }
    if (!err_is_set(e)) {
        timer_start_every(s.poll, POLL_MS);
        runtime_start(s.rt, on_ready, &s);
        service_tell(s.rt->service, SERVICE_READY, "waits for Postgres");
        loop_run(s.rt->loop);
    } else {
        LOG(ERROR, "supervisor.start_failed", LF_ERR(e));
    }
    signals_free(signals);
    timer_free(s.poll);
    forget_all(&s);
    declare_forget(&s);
    runtime_close(s.rt);
    return err_is_set(e) ? EXIT_FAILURE : EXIT_SUCCESS;
}
