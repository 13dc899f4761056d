/* sim_cluster: lets seeds run, one world each, until a promise is broken or the steps are done. README.md says what is real in it.
 *
 *   sim_cluster [--steps N] [--seed N] [--seeds N] [--trace] [--bug NAME] [--list] [--redis] */
#include "bugs.h"
#include "cluster.h"

#include <base/fault.h>
#include <base/json.h>
#include <stdlib.h>

enum { TROUBLED_US = 30000000, QUIET_LIMIT_US = 1200000000, QUIET_MORE_US = 5000000, CHECK_EVERY = 8 };

struct options {
    uint64_t seed, seeds, steps;
    bool tracing, one;
    const struct bug *bug;
};

static void run_until(int64_t us, bool (*done)(void)) {
    while (world.failure[0] == '\0' && world.now_us < us && !(done != NULL && world.steps % 64 == 0 && done())) {
        if (!world_step()) {
            broken("nothing is to come any more");
        }
        if (world.steps % CHECK_EVERY == 0) {
            check_step();
        }
    }
}

/* Quiet, and quiet for a while. */
static void come_to_rest(void) {
    const int64_t limit = world.now_us + QUIET_LIMIT_US;
    do {
        run_until(limit, check_quiet);
        run_until(world.now_us + QUIET_MORE_US, NULL);
    } while (world.failure[0] == '\0' && !check_quiet() && world.now_us < limit);
    if (world.failure[0] == '\0' && !check_quiet()) {
        broken("it does not come to rest: there are %s", check_unrest());
    }
}

/* The steps it took. */
static uint64_t run_seed(uint64_t seed, const struct conf *conf, const struct bug *bug) {
    world.bug = bug != NULL ? bug->name : NULL;
    world.switches = bug != NULL && bug->fault_switch >= 0 ? 1U << bug->fault_switch : 0;
    world_begin(seed);
    check_begin();
    redis_world_begin(bug != NULL ? bug->lua_from : NULL, bug != NULL ? bug->lua_to : NULL);
    pg_world_begin();
    unsigned shards = 1 + (unsigned)world_random(SIM_SHARDS_MAX);
    book_begin(shards, 1 + (unsigned)world_random(8));
    cluster_begin(conf);
    producers_begin(20 + (unsigned)world_random(60));
    run_until(TROUBLED_US, NULL);
    cluster_calm();
    come_to_rest();
    if (world.failure[0] == '\0') {
        check_step();
        check_end();
    }
    producers_end();
    cluster_end();
    world_end();
    redis_world_end();
    pg_world_end();
    book_end();
    return world.steps;
}

static int64_t number(const char *text) {
    int64_t v;
    if (text == NULL || !str_to_i64(str_c(text), &v) || v < 0) {
        (void)fprintf(stderr, "not a number: %s\n", text != NULL ? text : "");
        exit(2);
    }
    return v;
}

static struct options read_options(char **argv) {
    struct options o = {.seed = 1, .seeds = UINT64_MAX, .steps = UINT64_MAX};
    for (char **a = argv + 1; *a != NULL; a++) {
        if (strcmp(*a, "--trace") == 0) {
            o.tracing = true;
        } else if (strcmp(*a, "--seed") == 0) {
            o.seed = (uint64_t)number(*++a);
        } else if (strcmp(*a, "--seeds") == 0) {
            o.seeds = (uint64_t)number(*++a);
        } else if (strcmp(*a, "--steps") == 0) {
            o.steps = (uint64_t)number(*++a);
        } else if (strcmp(*a, "--bug") == 0 && *++a != NULL && (o.bug = bug_find(*a)) != NULL) {
            continue;
        } else {
            (void)fprintf(stderr, "what is %s? See the head of tests/sim/main.c\n", *a != NULL ? *a : "missing");
            exit(2);
        }
    }
    if (o.seeds == UINT64_MAX && o.steps == UINT64_MAX) {
        o.seeds = 1;
    }
    return o;
}

int main(int argc, char **argv) {
    struct conf conf;
    (void)argc;
    if (argv[1] != NULL && strcmp(argv[1], "--redis") == 0) {
        return serve();
    }
    if (argv[1] != NULL && strcmp(argv[1], "--list") == 0) {
        bug_list();
        return 0;
    }
    struct options o = read_options(argv);
    uint64_t steps = 0, seeds = 0;
    json_setup();
    if (err_is_set(conf_load(NULL, &conf))) {
        return 2;
    }
    world.tracing = o.tracing;
    for (; seeds < o.seeds && steps < o.steps; seeds++) {
        steps += run_seed(o.seed + seeds, &conf, o.bug);
        if (world.failure[0] != '\0') {
            const unsigned long long seed = o.seed + seeds;
            (void)printf("seed %llu, step %llu, %.3f s: %s\nagain: sim_cluster --seed %llu%s%s --trace\n", seed,
                         (unsigned long long)world.steps, (double)world.now_us / 1e6, world.failure, seed,
                         o.bug != NULL ? " --bug " : "", o.bug != NULL ? o.bug->name : "");
            break;
        }
        if (o.seeds == 1) {
            (void)printf("seed %llu: %.3f s in %llu steps, hash %016llx\n", (unsigned long long)o.seed,
                         (double)world.now_us / 1e6, (unsigned long long)world.steps, (unsigned long long)world.hash);
        }
    }
    conf_free(&conf);
    (void)printf("%llu seeds, %llu steps: %s\n", (unsigned long long)seeds, (unsigned long long)steps,
                 world.failure[0] == '\0' ? "every promise was kept" : "broken");
    return world.failure[0] == '\0' ? 0 : 1;
}
