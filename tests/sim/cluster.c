#include "cluster.h"

#include "store.h"

#include <io/signals.h>
#include <scheduler/scheduler.h>
#include <stdlib.h>
#include <worker/worker.h>

enum { LONE_PLACES = 4, PLACES_MAX = 8 + LONE_PLACES, CARE_US = 100000, AWAY_US = 5000000 };

/* What may befall this cluster: a run has some of them. */
enum trouble {
    TROUBLE_DEATHS,
    TROUBLE_STOPS,
    TROUBLE_DRAINS,
    TROUBLE_CONNECTIONS,
    TROUBLE_REDIS_FALLS,
    TROUBLE_REDIS_CUT,
    TROUBLE_REDIS_WIPED,
    TROUBLE_POSTGRES_FALLS,
    TROUBLE_CLOCKS,
    TROUBLE_REFUSALS,
    TROUBLE_PAUSES,
    TROUBLE_MAX
};

static struct {
    const struct conf *conf;
    struct place_of_work places[PLACES_MAX];
    unsigned places_n;
    bool troubles[TROUBLE_MAX], looked_away, stood_still;
    struct event *care, *trouble, *relief, *awake;
} cluster;

/* ---- processes ---- */

static void api_main(void *arg);
static void worker_main(void *arg);
static void scheduler_main_at(void *arg);

static void (*const mains[ROLE_MAX])(void *) = {
    [ROLE_API] = api_main, [ROLE_WORKER] = worker_main, [ROLE_SCHEDULER] = scheduler_main_at, [ROLE_SUPERVISOR] = reaper_main};

static const struct module *const modules_old[] = {&sim_module_old}, *const modules_new[] = {&sim_module_new};

static void on_api_ready(void *arg) { (void)arg; }

static void api_main(void *arg) {
    struct place_of_work *p = arg;
    const struct registry registry = {.modules = modules_new, .modules_n = 1};
    const struct runtime_options o = {.role = "api", .conf = cluster.conf, .registry = &registry};
    if (err_is_set(runtime_open(&o, &p->rt))) {
        abort();
    }
    struct runtime *rt = p->rt;
    runtime_start(rt, on_api_ready, p);
    loop_run(rt->loop);
    p->rt = NULL;
    runtime_close(rt);
}

static void worker_main(void *arg) {
    const struct place_of_work *p = arg;
    struct registry registry = {.modules = p->is_new ? modules_new : modules_old, .modules_n = 1};
    const struct worker_options o = {.conf = cluster.conf,
                                     .registry = &registry,
                                     .queue = SIM_QUEUE,
                                     .quarantine = p->quarantine,
                                     .slot = p->number,
                                     .table_fd = -1};
    if (worker_process_main(&o) != EXIT_SUCCESS) {
        abort();
    }
}

static void scheduler_main_at(void *arg) {
    const struct registry registry = {.modules = modules_new, .modules_n = 1};
    const struct scheduler_options o = {.conf = cluster.conf, .registry = &registry};
    (void)arg;
    if (scheduler_main(&o) != EXIT_SUCCESS) {
        abort();
    }
}

/* Killed from outside, or by itself: for the supervisor two things. */
static void on_cut(void *arg) {
    struct place_of_work *p = arg;
    if (p->signum == 0) {
        p->signum = world_chance(0.3) ? SIGSEGV : SIGKILL;
    }
    trace("by signal %d", p->signum);
    supervisor_see(p);
    if (p->quarantine && p->signum == SIGABRT) { /* its job's doing */
        p->job->lone_crashes++;
    }
    cluster.looked_away |= p->quarantine && p->signum == SIGSEGV; /* whatever it was about to run is blamed */
}

void cluster_crash(int signum) {
    struct place_of_work *p = world.actor->arg;
    p->signum = signum;
    actor_kill(p->actor);
}

static void start_at(void *arg) {
    static const char *const names[ROLE_MAX] = {
        [ROLE_API] = "api", [ROLE_WORKER] = "worker", [ROLE_SCHEDULER] = "scheduler", [ROLE_SUPERVISOR] = "supervisor"};
    struct place_of_work *p = arg;
    char name[32];
    (void)snprintf(name, sizeof name, "%s%d%s", p->quarantine ? "lone" : names[p->role], p->number,
                   p->role == ROLE_WORKER && p->is_new ? "+" : "");
    p->told = false;
    p->signum = 0;
    p->job = NULL;
    p->actor = actor_start(name, mains[p->role], p);
    p->actor->on_cut = p->role == ROLE_WORKER ? on_cut : NULL;
    p->was_used = true;
}

size_t cluster_lone(void) {
    size_t n = 0;
    for (unsigned i = 0; i < cluster.places_n; i++) {
        const struct place_of_work *p = &cluster.places[i];
        n += p->quarantine && (p->again != NULL || (p->actor != NULL && p->actor->alive));
    }
    return n;
}

void cluster_start_lone(void) {
    for (unsigned i = 0; i < cluster.places_n; i++) {
        struct place_of_work *p = &cluster.places[i];
        if (p->quarantine && p->again == NULL && p->actor == NULL) {
            world_after(world_between(20, 300) * 1000, NULL, start_at, p, &p->again);
            return;
        }
    }
}

bool cluster_looked_away(void) { return cluster.looked_away; }
void cluster_look_away(void) { cluster.looked_away = true; }
bool cluster_stood_still(void) { return cluster.stood_still; }

/* The service manager: what has ended is started again; the supervisor hears of a dead worker. */
static void on_care(void *arg) {
    (void)arg;
    for (unsigned i = 0; i < cluster.places_n; i++) {
        struct place_of_work *p = &cluster.places[i];
        if (p->actor != NULL && !p->actor->alive && p->again == NULL) {
            if (p->role == ROLE_WORKER) {
                supervisor_bury(p);
            }
            p->actor = NULL;
            if (p->closed || p->quarantine) {
                continue;
            }
            world_after(world_between(50, 1500) * 1000, NULL, start_at, p, &p->again);
        }
    }
    world_after(CARE_US, NULL, on_care, NULL, &cluster.care);
}

unsigned cluster_workers(void) {
    unsigned n = 0;
    for (unsigned i = 0; i < cluster.places_n; i++) {
        n += cluster.places[i].role == ROLE_WORKER && cluster.places[i].was_used;
    }
    return n;
}

struct place_of_work *cluster_api(void) {
    for (unsigned i = 0; i < cluster.places_n; i++) {
        struct place_of_work *p = &cluster.places[i];
        if (p->role == ROLE_API && p->actor != NULL && p->actor->alive && p->rt != NULL) {
            return p;
        }
    }
    return NULL;
}

static struct place_of_work *anybody(bool workers_only) {
    for (unsigned tries = 0; tries < 20; tries++) {
        struct place_of_work *p = &cluster.places[world_random(cluster.places_n)];
        if (p->actor != NULL && p->actor->alive && p->actor->stopped_until <= world.now_us &&
            (!workers_only || p->role == ROLE_WORKER)) {
            return p;
        }
    }
    return NULL;
}

/* ---- troubles ---- */

static void kill_one(void) {
    struct place_of_work *p = anybody(false);
    if (p != NULL) {
        p->is_new |= world_chance(0.4);
        actor_kill(p->actor);
    }
}

static void stop_one(void) {
    struct place_of_work *p = anybody(false);
    if (p != NULL) {
        int64_t us = world_between(100, 16000) * 1000;
        cluster.stood_still |= us > AWAY_US && p->role == ROLE_WORKER;
        cluster.looked_away |= us > AWAY_US && (p->quarantine || p->role == ROLE_SUPERVISOR);
        actor_stop(p->actor, us);
    }
}

static void on_awake(void *arg) {
    (void)arg;
    for (unsigned i = 0; i < cluster.places_n; i++) {
        struct place_of_work *p = &cluster.places[i];
        if (p->role == ROLE_WORKER && p->actor != NULL && p->actor->alive) {
            actor_signal(p->actor, SIGCONT);
        }
    }
}

static void drain_one(void) {
    struct place_of_work *p = anybody(true);
    if (p == NULL) {
        return;
    }
    if (world_chance(0.3)) {
        actor_signal(p->actor, SIGTSTP);
        world_cancel(&cluster.awake);
        world_after(world_between(500, 4000) * 1000, NULL, on_awake, NULL, &cluster.awake);
        return;
    }
    p->is_new |= world_chance(0.4);
    p->told = true;
    actor_signal(p->actor, world_chance(0.2) ? SIGQUIT : SIGTERM);
}

static void fall(uint64_t lost, bool torn, bool wiped) {
    book_falling();
    check_falling();
    struct mini_loss loss = redis_world_fall(world_between(20, 4000) * 1000, lost, torn, wiped);
    book_fallen();
    check_fallen(loss);
}

static void shift_clock(void) {
    int64_t ms = world_between(-60000, 60000);
    struct place_of_work *p = anybody(false);
    if (world_chance(0.3) || p == NULL) {
        world.redis_offset_ms = ms;
        trace("the clock of redis is %lld ms off", (long long)ms);
    } else {
        p->actor->wall_offset_ms = ms;
        trace("the clock of %s is %lld ms off", p->actor->name, (long long)ms);
    }
}

static void on_relief(void *arg) {
    (void)arg;
    mini_refuse(redis_world(), NULL);
    store_pause(false);
}

static void refuse(void) {
    static const char *const errors[] = {"OOM command not allowed when used memory > 'maxmemory'.",
                                         "LOADING Redis is loading the dataset in memory",
                                         "MISCONF Redis is configured to save RDB snapshots"};
    const char *error = errors[world_random(3)];
    trace("redis says %.7s", error);
    mini_refuse(redis_world(), error);
    world_cancel(&cluster.relief);
    world_after(world_between(200, 5000) * 1000, NULL, on_relief, NULL, &cluster.relief);
}

static void pause_queue(void) {
    trace("the queue is paused");
    store_pause(true);
    world_cancel(&cluster.relief);
    world_after(world_between(500, 6000) * 1000, NULL, on_relief, NULL, &cluster.relief);
}

static void befall(enum trouble t) {
    switch (t) {
    case TROUBLE_DEATHS:
        kill_one();
        break;
    case TROUBLE_STOPS:
        stop_one();
        break;
    case TROUBLE_DRAINS:
        drain_one();
        break;
    case TROUBLE_CONNECTIONS:
        redis_world_stall();
        break;
    case TROUBLE_REDIS_FALLS:
        fall(0, false, false);
        break;
    case TROUBLE_REDIS_CUT:
        fall(world_random(60), world_chance(0.5), false);
        break;
    case TROUBLE_REDIS_WIPED:
        fall(0, false, true);
        break;
    case TROUBLE_POSTGRES_FALLS:
        pg_world_fall(world_between(10, 3000) * 1000);
        break;
    case TROUBLE_CLOCKS:
        shift_clock();
        break;
    case TROUBLE_REFUSALS:
        refuse();
        break;
    case TROUBLE_PAUSES:
        pause_queue();
        break;
    case TROUBLE_MAX:
        break;
    }
}

static void on_trouble(void *arg) {
    enum trouble t = (enum trouble)world_random(TROUBLE_MAX);
    (void)arg;
    if (cluster.troubles[t]) {
        befall(t);
    }
    world_after(world_between(50, 700) * 1000, NULL, on_trouble, NULL, &cluster.trouble);
}

static double some(double most) { return world_chance(0.4) ? most * (double)world_random(1000) / 1000 : 0; }

static void draw_weather(void) {
    world.weather = (struct weather){0};
    if (world_chance(0.1)) {
        trace("a fine day");
        world.calm = world.fine = true; /* nothing goes wrong: then nothing may be repeated either */
        return;
    }
    world.steady = world_chance(0.2);
    world.poisoned = world_chance(0.4);
    for (int t = 0; t < TROUBLE_MAX; t++) {
        cluster.troubles[t] = (!world.steady || t <= TROUBLE_DRAINS) &&
                              world_chance(t == TROUBLE_REDIS_CUT || t == TROUBLE_REDIS_WIPED ? 0.3 : 0.45);
    }
    if (!world.steady) {
        world.weather = (struct weather){
            .reply_loss = some(0.02), .request_loss = some(0.02), .slow = some(0.02), .sub_loss = some(0.5), .skip = some(0.05)};
    }
    world.weather.death = some(0.01);
}

/* ---- begin, end ---- */

static void add_place(enum role role, int number, bool is_new) {
    struct place_of_work *p = &cluster.places[cluster.places_n++];
    *p = (struct place_of_work){.role = role, .number = number, .is_new = is_new};
    world_after(world_between(0, 300) * 1000, NULL, start_at, p, &p->again);
}

void cluster_begin(const struct conf *conf) {
    memset(&cluster, 0, sizeof cluster);
    cluster.conf = conf;
    draw_weather();
    int workers = 1 + (int)world_random(4), schedulers = 1 + (int)world_random(2);
    for (int i = 0; i < workers; i++) {
        add_place(ROLE_WORKER, i, world_chance(0.5));
    }
    for (int i = 0; i < schedulers; i++) {
        add_place(ROLE_SCHEDULER, i, true);
    }
    add_place(ROLE_API, 0, true);
    add_place(ROLE_SUPERVISOR, 0, true);
    for (int i = 0; i < LONE_PLACES; i++) {
        cluster.places[cluster.places_n++] = (struct place_of_work){.role = ROLE_WORKER, .number = i, .quarantine = true};
    }
    on_care(NULL);
    if (!world.calm) {
        on_trouble(NULL);
    }
}

static bool has_new_worker(void) {
    for (unsigned i = 0; i < cluster.places_n; i++) {
        const struct place_of_work *p = &cluster.places[i];
        if (p->role == ROLE_WORKER && !p->quarantine && p->is_new && !p->closed) {
            return true;
        }
    }
    return false;
}

/* From here on nothing goes wrong; old workers make room for new ones. */
void cluster_calm(void) {
    trace("calm");
    world.calm = true;
    world_cancel(&cluster.trouble);
    world_cancel(&cluster.relief);
    world_cancel(&cluster.awake);
    on_relief(NULL);
    on_awake(NULL);
    for (unsigned i = 0; i < cluster.places_n; i++) {
        struct place_of_work *p = &cluster.places[i];
        if (p->actor != NULL && p->actor->alive) {
            p->actor->stopped_until = 0;
            if (p->role == ROLE_WORKER && !p->is_new) {
                p->closed = world_chance(0.5) && has_new_worker();
                p->told = true;
                actor_signal(p->actor, SIGTERM);
            }
        }
        p->is_new = true;
    }
}

void cluster_end(void) {
    world_cancel(&cluster.care);
    world_cancel(&cluster.trouble);
    world_cancel(&cluster.relief);
    world_cancel(&cluster.awake);
    for (unsigned i = 0; i < cluster.places_n; i++) {
        struct place_of_work *p = &cluster.places[i];
        world_cancel(&p->again);
        if (p->actor != NULL) {
            actor_kill(p->actor);
        }
        free(p->table);
        free(p->left);
    }
}
