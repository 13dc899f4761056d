/* A supervisor without children to fork: what it does for the dead is worker/src/reap.c. And the slot tables, in plain memory. */
#include "cluster.h"

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

void supervisor_bury(struct slot_table *table) {
    const struct queue_info *q = supervisor != NULL ? queue_table_find(supervisor->rt->queues, STR(SIM_QUEUE)) : NULL;
    if (q == NULL || table == NULL) {
        free(table); /* the lease will do */
        return;
    }
    struct child *c = sim_new(sizeof *c);
    *c = (struct child){.supervisor = supervisor, .queue = q, .table = table};
    TAILQ_INSERT_TAIL(&supervisor->dead, c, link);
}

static void on_poll(void *arg) { reap(arg); }
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
        child_bury(TAILQ_FIRST(&s->dead));
    }
    free(s);
    conf_free(&conf);
}

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
