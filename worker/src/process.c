/* One worker process: made of the parts in process.h, driven by two timers, Redis coming and going, and signals. */
#include "process.h"

#include "dump.h"
#include "limits.h"
#include "record.h"

#include <base/json.h>
#include <base/log.h>
#include <base/metrics.h>
#include <io/signals.h>
#include <queues/upkeep.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { BEAT_MS = 1000, ARENA_BLOCK = 4096, ARENA_MAX = 8 << 20, UNPARK_BEATS = 3, WAITING_BEATS = 3, OPEN_NAMES_MAX = 1024 };

int64_t process_ms(const struct process *p, struct mono since) { return mono_ms_since(loop_now(p->rt->loop), since); }

static size_t queue_slots(const struct process *p) {
    size_t slots = p->queue->slots > 0 && !p->lone ? (size_t)p->queue->slots : 1;
    return slots < HELD_MAX / 2 ? slots : HELD_MAX / 2;
}

/* It has been away so long that its jobs are charged, and end: each by itself (attempt_enter). */
static bool is_gone(const struct process *p) {
    return p->dependency->circuit != CIRCUIT_CLOSED && !dependency_spares(p->dependency, loop_now(p->rt->loop).us);
}

size_t process_slots(const struct process *p) {
    size_t slots = queue_slots(p);
    if (p->dependency == NULL || is_gone(p)) {
        return slots;
    }
    size_t most = p->dependency->entered + dependency_room(p->dependency, loop_now(p->rt->loop).us);
    return slots < most ? slots : most;
}

/* The next entry never used so far, or one from the free list. */
static struct held *held_get(struct process *p) {
    struct held *h = TAILQ_FIRST(&p->free);
    if (h != NULL) {
        TAILQ_REMOVE(&p->free, h, link);
        return h;
    }
    if (p->used_n == HELD_MAX) {
        return NULL;
    }
    h = &p->held[p->used_n];
    h->process = p;
    h->slot = &p->table->entries[p->used_n++];
    arena_init(&h->arena, ARENA_BLOCK, ARENA_MAX);
    return h;
}

struct held *held_take(struct process *p, const struct claimed *c) {
    struct held *h = held_get(p);
    if (h == NULL) {
        return NULL;
    }
    struct arena arena = h->arena;
    struct slot_entry *slot = h->slot;
    *h = (struct held){.process = p, .slot = slot, .arena = arena, .id = c->id, .shard = c->shard};
    h->header = arena_str(&h->arena, c->header);
    h->attempt.payload = arena_str(&h->arena, c->payload);
    if (h->header.p == NULL || h->attempt.payload.p == NULL) {
        held_release(h);
        return NULL;
    }
    *slot = (struct slot_entry){.id = c->id, .shard = c->shard->number};
    return h;
}

void process_enter(struct process *p, const struct held *h) {
    (void)loop_own(p->rt->loop, h != NULL ? 1 + (uint32_t)(h->slot - p->table->entries) : 0);
}

void held_release(struct held *h) {
    struct process *p = h->process;
    if (h->reclaimed) {
        h->reclaimed = false;
        claim_reclaimed_left(p, h);
    }
    *h->slot = (struct slot_entry){.id = {0, 0}};
    h->state = HELD_FREE;
    if (h->abandoned) {
        return; /* its handler may use it still, and releases it when it comes to an end after all */
    }
    arena_reset(&h->arena);
    TAILQ_INSERT_HEAD(&p->free, h, link);
}

void process_wants_outbox(const struct held *h) { h->process->outbox_wanted[h->attempt.env - h->process->rt->modules] = true; }

static void on_outbox(void *arg, struct err err, size_t moved, bool more) {
    struct process *p = arg;
    p->outbox_running = false;
    p->outbox_wanted[p->outbox_module] |= more && !err_is_set(err);
    if (moved > 0) {
        series_add(metric_series(M_RELAYED, "outbox", NULL, NULL), (double)moved);
    }
    process_wake(p);
}

/* Follow-ups at once; the scheduler's relay is there for those a crash left behind. */
static void copy_outbox(struct process *p) {
    for (size_t m = 0; m < p->rt->registry->modules_n && !p->outbox_running; m++) {
        if (p->outbox_wanted[m]) {
            p->outbox_wanted[m] = false;
            p->outbox_running = true;
            p->outbox_module = m;
            outbox_copy(&p->rt->journal, &p->rt->modules[m], on_outbox, p);
        }
    }
}

static void bring_more(struct process *p) {
    if (p->lone) {
        lone_more(p);
        return;
    }
    claim_more(p);
    if (p->sweep_again) {
        claim_sweep(p, p->reclaim_again);
    }
    if (p->reclaim_again) {
        claim_reclaim(p);
    }
}

/* Everything a turn of the loop brought is carried on here, once, in this order: start what may run (a handler may end at once), read
 * more, then write what ended. Who may start nothing keeps nothing that waits: another process may run it, or this one later. */
static void on_turn_end(void *arg) {
    struct process *p = arg;
    if (p->dependency != NULL) {
        dependency_look(p->dependency, loop_now(p->rt->loop).us);
    }
    bool away = p->dependency != NULL && p->dependency->circuit == CIRCUIT_OPEN && !is_gone(p);
    if (p->draining || p->quiet || p->queue->paused || away) {
        lease_hand_back_waiting(p);
    }
    run_waiting(p);
    bring_more(p);
    finish_flush(p);
    settle_flush(p);
    copy_outbox(p);
    drain_check(p);
}

void process_wake(struct process *p) {
    if (!p->done && p->queue != NULL) { /* NULL: not ready yet */
        loop_at_turn_end(p->rt->loop, &p->flush);
    }
}

/* ---- parked jobs whose schema version this process knows: another one, of an older version, may have put them aside ---- */

struct unparking {
    struct process *process;
    unsigned shard;
};

static void unpark(struct process *p, unsigned shard);

/* The next page: at once while there is something in them. Behind the last one the next kinds have their turn. */
static void on_unparked(void *arg, struct err err, int64_t moved, struct str next) {
    struct unparking *u = arg;
    struct process *p = u->process;
    struct parked_scan *scan = &p->parked[u->shard];
    bool again = !err_is_set(err) && moved > 0 && next.n > 0;
    if (!err_is_set(err)) {
        scan->kinds += next.n == 0 ? LIMIT_BATCH : 0;
        (void)str_copy_c(next, scan->cursor, sizeof scan->cursor);
    }
    if (moved > 0) {
        LOG(INFO, "jobs.unparked", LF_C("queue", p->queue->name), LF_INT("jobs", moved));
    }
    scan->reading = again && !p->draining;
    if (scan->reading) {
        unpark(p, u->shard);
    }
    free(u);
}

static void unpark(struct process *p, unsigned shard) {
    struct parked_scan *scan = &p->parked[shard];
    struct queue_kind kinds[LIMIT_BATCH];
    struct unparking *u = malloc(sizeof *u);
    size_t n = kinds_known(p->kinds, scan->kinds, kinds);
    if (n == 0) {
        scan->kinds = 0;
        n = kinds_known(p->kinds, 0, kinds);
    }
    if (u == NULL || n == 0) {
        free(u);
        return;
    }
    *u = (struct unparking){p, shard};
    scan->reading = true;
    queue_unpark(&p->rt->redis, p->queue->shards[shard], str_c(scan->cursor), kinds, n, on_unparked, u);
}

static void unpark_all(struct process *p) {
    for (unsigned i = 0; i < p->queue->shards_n; i++) {
        if (!p->parked[i].reading) {
            unpark(p, i);
        }
    }
}

/* Until it is ready it has Postgres to wait for. That is no hanging: it beats, and is there when Postgres is. */
static void wait_for_postgres(struct process *p) {
    if (++p->beats == WAITING_BEATS) {
        LOG(WARN, "worker.waiting", LF_C("queue", p->options->queue), LF_C("for", "postgres"));
    }
}

static void on_beat(void *arg) {
    struct process *p = arg;
    p->table->beats++;
    limits_beat(p->rt->conf);
    if (p->queue == NULL) {
        wait_for_postgres(p);
        return;
    }
    dependencies_beat(p->rt->dependencies, queue_slots(p), loop_now(p->rt->loop).us);
    run_watch(p);
    settle_again(p);
    if (p->lone) {
        lone_beat(p);
        return;
    }
    claim_sweep(p, claim_may_reclaim(p));
    claim_reclaim(p);
    if (!p->draining && p->beats++ % UNPARK_BEATS == 0) {
        unpark_all(p);
    }
}

static void on_renew(void *arg) { lease_renew(arg); }

static void on_reader(void *arg, bool up, struct err why) {
    struct process *p = arg;
    (void)why;
    if (up) {
        process_wake(p);
    }
}

static void on_redis(void *arg, bool up) {
    struct process *p = arg;
    if (up && p->queue != NULL) { /* before anybody sweeps: nothing could be renewed while it was away */
        lease_renew(p);
        settle_again(p);
    }
}

static void on_wake(void *arg, struct str channel, struct str message) {
    struct process *p = arg;
    if (str_is(channel, CHANNEL_ASK)) {
        dump_asked(p, message);
    } else if (p->queue != NULL && !p->lone && str_is(message, p->queue->name)) {
        claim_sweep(p, 0);
    }
}

static void on_signal(void *arg, int signum) {
    struct process *p = arg;
    if (signum == SIGTSTP || signum == SIGCONT) {
        p->quiet = signum == SIGTSTP;
        LOG(INFO, p->quiet ? "worker.quiet" : "worker.awake", LF_C("process", p->rt->process));
        process_wake(p);
        return;
    }
    if (p->queue == NULL) {
        p->done = true;
        loop_stop(p->rt->loop);
        return;
    }
    if (signum == SIGQUIT) {
        drain_end(p);
    } else if (signum != SIGINT || p->options->table_fd < 0) { /* a terminal's SIGINT is the supervisor's to handle */
        drain_begin(p);
    }
}

static void add_circuits(const struct dependencies *t, struct buf *json) {
    struct buf names, why;
    buf_init(&names, OPEN_NAMES_MAX);
    buf_init(&why, OPEN_NAMES_MAX * 8);
    dependencies_list_open(t, &names);
    dependencies_list_why(t, &why);
    if (names.n > 0) {
        buf_add_c(json, ",\"circuit_open\":");
        json_add_string(json, buf_str(&names));
    }
    if (why.n > 0 && !err_is_set(buf_status(&why))) {
        buf_add_c(json, ",\"circuit_why\":");
        buf_add(json, buf_str(&why));
    }
    buf_free(&names);
    buf_free(&why);
}

static void add_beat(void *arg, struct buf *json) {
    struct process *p = arg;
    size_t slots = p->queue != NULL ? process_slots(p) : 0;
    buf_addf(
        json,
        ",\"slot\":%d,\"slots\":%zu,\"busy\":%zu,\"waiting\":%zu,\"quiet\":%s,\"draining\":%s,\"quarantine\":%s,\"consumer\":\"%s\"",
        p->options->slot, slots, p->running_n, p->waiting_n, p->quiet ? "true" : "false", p->draining ? "true" : "false",
        p->lone ? "true" : "false", p->consumer);
    if (p->options->table_fd >= 0) { /* it gets its orders from its parent */
        buf_addf(json, ",\"supervisor\":\"%s:%ld\"", p->rt->host, (long)getppid());
    }
    add_circuits(p->rt->dependencies, json);
}

/* What may never happen is shown as 0, as kinds_show_zeros() does. */
static void show_zeros(const struct process *p) {
    static const enum metric rare[] = {M_STALE_REFUSED, M_DUPLICATES_ABSORBED, M_ORPHANS};
    for (size_t i = 0; i < sizeof rare / sizeof rare[0]; i++) {
        series_add(metric_series(rare[i], p->queue->name, NULL, NULL), 0);
    }
    kinds_show_zeros(p->kinds);
}

/* The queue table is there: the process knows its shards and begins. */
static void on_ready(void *arg) {
    struct process *p = arg;
    p->queue = queue_table_find(p->rt->queues, str_c(p->options->queue));
    if (p->queue == NULL) {
        LOG(ERROR, "worker.no_queue", LF_C("queue", p->options->queue));
        p->done = true;
        loop_stop(p->rt->loop);
        return;
    }
    show_zeros(p);
    p->table->ready = 1;
    timer_start_every(p->renew, p->rt->conf->worker_lease_ms * 3 / 10);
    LOG(INFO, "worker.ready", LF_C("queue", p->queue->name), LF_C("consumer", p->consumer));
    process_wake(p);
}

static struct err open_parts(struct process *p) {
    const struct worker_options *o = p->options;
    TRY(kinds_new(p->rt, o->queue, &p->kinds));
    p->dependency = kinds_dependency(p->kinds);
    (void)snprintf(p->consumer, sizeof p->consumer, "%s:%s-%s%d:%llx", p->rt->host, o->queue, o->quarantine ? "q" : "", o->slot,
                   (unsigned long long)loop_wall(p->rt->loop).ms);
    if (o->table_fd >= 0) {
        TRY(slot_table_open(o->table_fd, &p->table));
    } else {
        int fd;
        TRY(slot_table_create(&fd, &p->table));
    }
    (void)str_copy_c(str_c(p->consumer), p->table->consumer, sizeof p->table->consumer);
    loop_own_in(p->rt->loop, &p->table->owner);
    record_open(p);
    struct redis_options reader = runtime_redis_options(p->rt, "penstock_worker", "reader");
    reader.on_state = on_reader;
    reader.arg = p;
    TRY(redis_new(p->rt->loop, &reader, &p->reader_connection));
    p->reader = redis_broker(p->reader_connection);
    static const char *const channels[] = {CHANNEL_WAKE, CHANNEL_ASK};
    const struct redis_sub_options wake = {.connection = runtime_redis_options(p->rt, "penstock_worker", "wake"),
                                           .channels = channels,
                                           .channels_n = sizeof channels / sizeof channels[0],
                                           .on_message = on_wake,
                                           .arg = p};
    TRY(redis_sub_new(p->rt->loop, &wake, &p->wake));
    TRY(timer_new(p->rt->loop, on_beat, p, &p->beat));
    return timer_new(p->rt->loop, on_renew, p, &p->renew);
}

/* What still runs at the drain deadline: its entry was handed back; its timers must not outlive it. */
static void stop_running(struct process *p) {
    struct held *h, *next;
    for (h = TAILQ_FIRST(&p->running); h != NULL; h = next) {
        next = TAILQ_NEXT(h, link);
        if (h->attempt.on_stop != NULL) {
            h->attempt.on_stop(&h->attempt, true);
        }
    }
}

static void process_close(struct process *p) {
    p->done = true;
    stop_running(p);
    if (p->rt != NULL) {
        loop_cancel_turn_end(p->rt->loop, &p->flush);
        timer_free(p->beat);
        timer_free(p->renew);
        timer_free(p->drain_timer);
        redis_close(p->reader_connection);
        redis_sub_close(p->wake);
        runtime_close(p->rt);
    }
    for (size_t i = 0; p->held != NULL && i < p->used_n; i++) {
        arena_free(&p->held[i].arena);
    }
    free(p->held);
    kinds_free(p->kinds);
    slot_table_close(p->table);
    free(p);
}

static void process_init(struct process *p, const struct worker_options *o) {
    p->options = o;
    p->lone = o->quarantine;
    p->reclaim_window = 1;
    TAILQ_INIT(&p->free);
    TAILQ_INIT(&p->unchecked);
    TAILQ_INIT(&p->waiting);
    TAILQ_INIT(&p->running);
    for (int i = 0; i < NEXT_MAX; i++) {
        TAILQ_INIT(&p->outgoing[i]);
        TAILQ_INIT(&p->refused[i]);
    }
    STAILQ_INIT(&p->finishing);
    p->flush.run = on_turn_end;
    p->flush.arg = p;
}

int worker_process_main(const struct worker_options *o) {
    struct process *p = calloc(1, sizeof *p);
    struct held *held = calloc(HELD_MAX, sizeof *held);
    if (p == NULL || held == NULL) {
        free(p);
        free(held);
        return EXIT_FAILURE;
    }
    process_init(p, o);
    p->held = held;
    limits_set(o->conf);
    if (o->table_fd >= 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGTERM); /* without its supervisor it drains */
        if (getppid() == 1) {
            (void)raise(SIGTERM); /* it died before that */
        }
    }
    const struct runtime_options runtime = {.role = "worker",
                                            .conf = o->conf,
                                            .registry = o->registry,
                                            .queue = o->queue,
                                            .beat = add_beat,
                                            .on_redis = on_redis,
                                            .arg = p};
    struct signals *signals = NULL;
    struct err e = runtime_open(&runtime, &p->rt);
    if (!err_is_set(e)) {
        e = open_parts(p);
    }
    if (!err_is_set(e)) {
        static const int wanted[] = {SIGTERM, SIGINT, SIGQUIT, SIGTSTP, SIGCONT};
        e = signals_new(p->rt->loop, wanted, sizeof wanted / sizeof wanted[0], on_signal, p, &signals);
    }
    if (!err_is_set(e)) {
        p->table->beats++; /* its signals are heard */
        limits_beat(p->rt->conf);
        timer_start_every(p->beat, BEAT_MS);
        runtime_start(p->rt, on_ready, p);
        loop_run(p->rt->loop);
    } else {
        LOG(ERROR, "worker.start_failed", LF_ERR(e));
    }
    signals_free(signals);
    process_close(p);
    return err_is_set(e) ? EXIT_FAILURE : EXIT_SUCCESS;
}
