#include "cluster.h"

#include "store.h"
#include "world.h"

#include <io/timer.h>
#include <jobs/attempt.h>
#include <jobs/module_sql.h>
#include <queues/envelope.h>
#include <signal.h>
#include <stdlib.h>

enum { LEASE_US = 10000000, RENEW_US = 3000000, FOR_EVER = 1000000 };

static struct {
    LIST_HEAD(, run) runs;
    struct sim_job *jobs;
    struct sim_key *keys;
    struct shard shards[SIM_SHARDS_MAX];
    unsigned shards_n, slots;
} book;

void book_begin(unsigned shards, unsigned slots) {
    memset(&book, 0, sizeof book);
    book.shards_n = shards;
    book.slots = slots;
    for (unsigned i = 0; i < shards; i++) {
        if (err_is_set(shard_init(&book.shards[i], STR(SIM_QUEUE), i))) {
            abort();
        }
    }
}

void book_end(void) {
    struct sim_job *j, *next_job;
    struct sim_key *k, *next_key;
    HASH_ITER(hh, book.jobs, j, next_job) {
        HASH_DEL(book.jobs, j);
        free(j);
    }
    HASH_ITER(hh, book.keys, k, next_key) {
        HASH_DEL(book.keys, k);
        free(k);
    }
}

unsigned book_shards(void) { return book.shards_n; }
unsigned book_slots(void) { return book.slots; }
const struct shard *book_shard(unsigned i) { return &book.shards[i]; }
bool book_bug(const char *name) { return world.bug != NULL && strcmp(world.bug, name) == 0; }
struct sim_job *book_jobs(void) {
    return book.jobs;
}

struct sim_key *book_key(struct str text) {
    struct sim_key *k = NULL;
    HASH_FIND(hh, book.keys, text.p, text.n, k);
    if (k == NULL) {
        k = sim_new(sizeof *k);
        (void)str_copy_c(text, k->text, sizeof k->text);
        HASH_ADD_KEYPTR(hh, book.keys, k->text, text.n, k);
    }
    return k;
}

struct sim_job *book_job(struct uuid id) {
    struct sim_job *j = NULL;
    HASH_FIND(hh, book.jobs, &id, sizeof id, j);
    return j;
}

struct sim_job *book_new_job(struct uuid id, bool stream_class, enum sim_kind kind) {
    struct sim_job *j = sim_new(sizeof *j);
    *j = (struct sim_job){.id = id, .stream_class = stream_class, .kind = kind, .version = kind == KIND_NEXT ? 2 : 1};
    j->type = kind == KIND_NEXT ? "sim.next" : stream_class ? "sim.tally" : "sim.note";
    j->run_ms = world_chance(0.5) ? 0 : world_between(1, 1500);
    if (kind == KIND_SLOW || world_chance(0.1)) {
        j->run_ms = world_between(2000, 14000);
    }
    j->fails = kind == KIND_FLAKY ? 1 + (unsigned)world_random(2) : kind == KIND_FATAL ? (unsigned)world_random(3) : 0;
    j->deaths = kind == KIND_FATAL ? 1 + (unsigned)world_random(2) : 0;
    j->snoozes = kind == KIND_SNOOZE ? 1 + (unsigned)world_random(3) : 0;
    j->crashes = kind != KIND_POISON ? 0 : world_chance(0.4) ? FOR_EVER : 1 + (unsigned)world_random(6);
    HASH_ADD(hh, book.jobs, id, sizeof j->id, j);
    return j;
}

void book_noted(struct uuid root) {
    struct sim_job *j = book_job(root);
    if (++j->notes > 1) {
        char text[UUID_TEXT_BYTES];
        uuid_text(root, text);
        broken("the effect of %s was made twice", text);
    }
}

void book_tallied(struct uuid root) { book_job(root)->tallies++; }

/* ---- who is there ---- */

static void see(void *arg, struct uuid id) {
    struct sim_job *j = book_job(id);
    if (j != NULL) {
        j->homes[*(const unsigned *)arg] = true;
    }
}

static void see_entry(void *arg, struct stream_id entry, struct str header) {
    struct envelope e;
    (void)entry;
    if (!err_is_set(envelope_decode(header, &e))) {
        see(arg, e.id);
    }
}

static void see_field(void *arg, struct str field, struct str value) {
    struct uuid id;
    (void)value;
    memcpy(id.b, field.p, sizeof id.b);
    see(arg, id);
}

static void look(unsigned which) {
    struct mini *m = redis_world();
    for (struct sim_job *j = book.jobs; j != NULL; j = j->hh.next) {
        j->homes[which] = false;
    }
    for (unsigned i = 0; i < book.shards_n; i++) {
        const struct shard *s = &book.shards[i];
        mini_each_entry(m, s->key[KEY_STREAM], see_entry, &which);
        mini_each_field(m, s->key[KEY_DELAYED], see_field, &which);
        mini_each_field(m, s->key[KEY_PARKED], see_field, &which);
        mini_each_field(m, s->key[KEY_DEAD], see_field, &which);
    }
}

void book_falling(void) { look(HOME_BEFORE_FALL); }

void book_fallen(void) {
    look(HOME_NOW);
    for (struct sim_job *j = book.jobs; j != NULL; j = j->hh.next) {
        j->lost = (j->lost || j->homes[HOME_BEFORE_FALL]) && !j->homes[HOME_NOW];
    }
}

/* A torn step may leave a job in two homes, never in none. */
void book_torn(void *self, enum mini_moment moment) {
    (void)self;
    look((unsigned)moment);
    for (const struct sim_job *j = book.jobs; j != NULL && moment == MINI_TORN; j = j->hh.next) {
        if (j->homes[MINI_BEFORE] && j->homes[MINI_AFTER] && !j->homes[MINI_TORN]) {
            broken("a torn step left a job nowhere");
        }
    }
}

/* ---- the module ---- */

/* An attempt that takes its time. */
struct run {
    LIST_ENTRY(run) link;
    struct actor *actor;
    int64_t began_us;
    struct attempt *attempt;
    struct sim_job *job;
    struct timer *timer;
};

bool book_runs(void) { return !LIST_EMPTY(&book.runs); }

static void on_tallied(void *arg, struct err err, const PGresult *res) {
    struct attempt *a = arg;
    (void)res;
    if (err_is_set(err)) {
        attempt_fail(a, err);
    } else {
        attempt_finish(a, OUTCOME_DONE, 200, STR("{}"));
    }
}

static void take_effect(struct attempt *a, struct sim_job *j) {
    if (j->crashes > 0) {
        j->crashes--;
        j->crashed++;
        cluster_crash(SIGABRT);
    } else if (j->fails > a->job.attempt) {
        attempt_fail(a, err_make(ERR_TRANSIENT, "as it was asked to"));
    } else if (j->deaths > 0) { /* it would be done the next time, if there may be one */
        j->deaths--;
        attempt_fail(a, err_make(ERR_REFUSED, "as it was asked to"));
    } else if (j->snoozes > 0) {
        j->snoozes--;
        attempt_later(a, world_between(0, 1500), err_make(ERR_BUSY, "later"));
    } else if (a->type->class == CLASS_STREAM) {
        char room[PG_UUID_BYTES];
        const struct pg_value root = pg_uuid(a->job.root, room);
        pg_exec(a->env->db, &sim_tally, &root, PG_SHARED, 0, on_tallied, a);
    } else {
        const struct attempt_effect e = {.stmt = &sim_note, .outcome = OUTCOME_DONE, .status = 200, .result = STR("{}")};
        attempt_commit(a, &e);
    }
}

static void on_run(void *arg) {
    struct run *r = arg;
    struct attempt *a = r->attempt;
    struct sim_job *j = r->job;
    timer_free(r->timer);
    LIST_REMOVE(r, link);
    a->on_stop = NULL;
    take_effect(a, j);
}

static void on_stop(struct attempt *a, bool timed_out) {
    struct run *r = a->state;
    timer_free(r->timer);
    LIST_REMOVE(r, link);
    if (timed_out) {
        attempt_fail(a, err_make(ERR_TIMEOUT, "its time was up"));
    } else {
        attempt_finish(a, OUTCOME_CANCELLED, 409, STR("{}"));
    }
}

/* It may not know that its leases have ended. */
static bool stood_still(const struct actor *a) { return a->stood_still_us >= LEASE_US - RENEW_US; }

/* Two are at a stream-class job only when one of them stood still. */
static void check_alone(const struct sim_job *j) {
    const struct run *r;
    LIST_FOREACH(r, &book.runs, link) {
        bool only_one = r->actor == world.actor && cluster_workers() == 1; /* nobody else can have had it meanwhile */
        bool blind = !only_one && (stood_still(r->actor) || stood_still(world.actor));
        if (r->job == j && world.steady && j->stream_class && !blind && !r->actor->cut) {
            broken("a job is started while %s is at it", r->actor->name);
        }
    }
}

static void start(struct attempt *a) {
    struct run *r = ARENA_NEW(a->arena, struct run);
    struct sim_job *j = book_job(a->job.root);
    struct place_of_work *p = world.actor->arg;
    if (world.actor->cut) {
        return; /* it has just died of another one */
    }
    check_alone(j);
    p->job = j;
    j->lone_runs += p->quarantine;
    trace("runs %s job of %lld ms, attempt %u", a->type->name, (long long)j->run_ms, a->job.attempt);
    if (j->run_ms == 0) {
        take_effect(a, j);
        return;
    }
    *r = (struct run){.actor = world.actor, .began_us = world.now_us, .attempt = a, .job = j};
    LIST_INSERT_HEAD(&book.runs, r, link);
    if (err_is_set(timer_new(a->env->loop, on_run, r, &r->timer))) {
        abort();
    }
    a->state = r;
    a->on_stop = on_stop;
    timer_start(r->timer, j->run_ms);
}

static const struct module_sql sql = {
    .close = {"sim.close", "", 6},
    .step = {"sim.step", "", 3},
    .outbox_read = {"sim.outbox_read", "", 0},
    .outbox_drop = {"sim.outbox_drop", "", 1},
    .events_read = {"sim.events_read", "", 0},
    .events_mark = {"sim.events_mark", "", 1},
    .retain = {"sim.retain", "", 1},
};

#define RETRY \
    { .base_ms = 200, .cap_ms = 2000, .max_attempts = 4 }
#define ALIKE .queue = SIM_QUEUE, .schema = "{}", .timeout_ms = 60000, .retry = RETRY, .start = start

static const struct job_type types_old[] = {
    {.name = "sim.note", .version = 1, .class = CLASS_JOURNAL, ALIKE},
    {.name = "sim.tally", .version = 1, .class = CLASS_STREAM, .keep_outcome = true, ALIKE},
    {.name = "sim.next", .version = 1, .class = CLASS_JOURNAL, ALIKE},
};

static const struct job_type types_new[] = {
    {.name = "sim.note", .version = 1, .class = CLASS_JOURNAL, ALIKE},
    {.name = "sim.tally", .version = 1, .class = CLASS_STREAM, .keep_outcome = true, ALIKE},
    {.name = "sim.next", .version = 2, .class = CLASS_JOURNAL, ALIKE},
};

const struct module sim_module_old = {.name = "sim", .ddl = "", .sql = &sql, .types = types_old, .types_n = 3};
const struct module sim_module_new = {.name = "sim", .ddl = "", .sql = &sql, .types = types_new, .types_n = 3};
