/* A supervisor without children to fork: what it does for the dead is worker/src/reap.c, for suspects quarantine.c. And the slot tables,
 * in plain memory. */
#include "cluster.h"

#include "../../worker/src/limits.h"
#include "../../worker/src/supervisor.h"

#include <io/timer.h>
#include <stdlib.h>

static struct supervisor *supervisor; /* the one that runs; NULL: none */

enum { POLL_MS = 500 };

void child_bury(struct child *c) {
    TAILQ_REMOVE(&c->supervisor->dead, c, link);
    free(c->table);
    free(c);
}

static const struct queue_info *queue(void) {
    return supervisor != NULL ? queue_table_find(supervisor->rt->queues, STR(SIM_QUEUE)) : NULL;
}

void supervisor_see(struct place_of_work *p) {
    if (p->table != NULL) {
        p->left = sim_new(sizeof *p->left);
        *p->left = *p->table;
    }
}

void supervisor_bury(struct place_of_work *p) {
    struct slot_table *table = p->left != NULL ? p->left : p->table;
    if (p->left != NULL) {
        free(p->table);
    }
    p->left = p->table = NULL;
    if (queue() == NULL || table == NULL) {
        free(table); /* the lease will do */
        cluster_look_away();
        return;
    }
    struct child *c = sim_new(sizeof *c);
    *c = (struct child){
        .supervisor = supervisor, .queue = queue(), .quarantine = p->quarantine, .table = table, .leaving = p->told};
    crash_judge(c, 0, p->signum, c->oom_kills);
    TAILQ_INSERT_TAIL(&supervisor->dead, c, link);
}

/* ---- what quarantine.c asks of supervisor.c ---- */

bool supervisor_may_start(const struct supervisor *s) { return s == supervisor; }

size_t supervisor_count_quarantine(const struct supervisor *s, const struct queue_info *q) {
    (void)s;
    (void)q;
    return cluster_lone();
}

void supervisor_start_one(struct supervisor *s, const struct queue_info *q, bool quarantine) {
    (void)s;
    (void)q;
    (void)quarantine;
    cluster_start_lone();
}

static void on_poll(void *arg) {
    reap(arg);
    quarantine_follow(arg, queue());
}

static void on_ready(void *arg) {
    struct supervisor *s = arg;
    timer_start_every(s->poll, POLL_MS);
    supervisor = s;
}

void reaper_main(void *arg) {
    struct place_of_work *p = arg;
    const struct module *const modules[] = {&sim_module_new};
    const struct registry registry = {.modules = modules, .modules_n = 1};
    struct conf conf;
    struct supervisor *s = sim_new(sizeof *s);
    if (err_is_set(conf_load(NULL, &conf))) {
        abort();
    }
    const struct runtime_options o = {.role = "worker", .conf = &conf, .registry = &registry};
    TAILQ_INIT(&s->alive);
    TAILQ_INIT(&s->dead);
    if (err_is_set(runtime_open(&o, &s->rt)) || err_is_set(timer_new(s->rt->loop, on_poll, s, &s->poll))) {
        abort();
    }
    p->rt = s->rt;
    runtime_start(s->rt, on_ready, s);
    loop_run(s->rt->loop);
    supervisor = supervisor == s ? NULL : supervisor;
    p->rt = NULL;
    timer_free(s->poll);
    s->leaving = false;
    runtime_close(s->rt);
    while (!TAILQ_EMPTY(&s->dead)) {
        cluster_look_away();
        child_bury(TAILQ_FIRST(&s->dead));
    }
    free(s);
    conf_free(&conf);
}

/* ---- worker/src/limits.h: they would be the simulator's own ---- */

void limits_set(const struct conf *conf) { (void)conf; }
void limits_beat(const struct conf *conf) { (void)conf; }

/* ---- worker/src/slot_table.h ---- */

struct err slot_table_create(int *out_fd, struct slot_table **out) {
    struct place_of_work *p = world.actor->arg;
    p->table = sim_new(sizeof *p->table);
    *out_fd = -1;
    *out = p->table;
    return OK;
}

struct err slot_table_open(int fd, struct slot_table **out) {
    (void)fd;
    (void)out;
    abort();
}

void slot_table_close(struct slot_table *t) { (void)t; /* the supervisor reads it */ }
