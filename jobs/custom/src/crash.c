/* Jobs gone wrong on purpose, for the tests of quarantine: whoever may enqueue them can end worker processes, so they exist only in builds
 * with failpoints. */
#include "custom.h"

#ifdef PENSTOCK_FAULTS

#include <base/json.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CHUNK_BYTES = 1 << 20 };

static void *volatile chunks;
static volatile unsigned turns;

static int deeper(const volatile char *above) {
    volatile char room[1024];
    if (above == NULL) {
        return 0;
    }
    room[0] = *above;
    return deeper(room) + room[0];
}

static void take_all_memory(void) {
    for (;;) {
        void **chunk = malloc(CHUNK_BYTES);
        if (chunk == NULL) {
            abort(); /* what becomes of code that does not look */
        }
        memset(chunk, 1, CHUNK_BYTES);
        *chunk = chunks;
        chunks = chunk;
    }
}

static void spin(void) {
    for (;;) {
        turns++;
    }
}

static void rest(void) {
    for (;;) {
        (void)pause();
    }
}

static void crash(struct attempt *a, struct str how) {
    static const char start = 0;
    if (str_is(how, "abort")) {
        abort();
    } else if (str_is(how, "exit")) {
        _exit(3);
    } else if (str_is(how, "stack")) {
        (void)deeper(&start);
    } else if (str_is(how, "memory")) {
        take_all_memory();
    } else if (str_is(how, "spin")) {
        spin();
    } else if (str_is(how, "sleep")) {
        rest();
    } else if (str_is(how, "nomem")) {
        attempt_fail(a, err_make(ERR_NOMEM, "demo.crash was asked to"));
    } else if (!str_is(how, "hang")) {
        attempt_close(a, OUTCOME_DONE, 200, STR("{}"));
    }
}

struct crashing {
    struct attempt *attempt;
    struct timer *timer;
    struct str how;
};

static void on_later(void *arg) {
    struct crashing *c = arg;
    timer_free(c->timer);
    crash(c->attempt, c->how);
}

static void crash_later(struct attempt *a, struct str how, int64_t after_ms) {
    struct crashing *c = ARENA_NEW(a->arena, struct crashing);
    struct err e = c != NULL ? timer_new(a->env->loop, on_later, c, &c->timer) : err_make(ERR_NOMEM, "demo.crash");
    if (err_is_set(e)) {
        attempt_fail(a, e);
        return;
    }
    c->attempt = a;
    c->how = arena_str(a->arena, how);
    timer_start(c->timer, after_ms);
}

/* how: abort, exit, stack, memory (takes all there is), nomem (says there is none), spin, sleep (holds the loop, at rest), hang (lets the
 * loop go on and never ends); anything else ends well. after: not at once but so many ms later. */
void demo_crash(struct attempt *a) {
    json_t *payload;
    if (!attempt_parse(a, &payload)) {
        return;
    }
    struct str how = json_opt_str(payload, "how", STR(""));
    int64_t after_ms = json_opt_i64(payload, "after", 0);
    if (after_ms > 0) {
        crash_later(a, how, after_ms);
    } else {
        crash(a, how);
    }
    json_decref(payload);
}

#endif
