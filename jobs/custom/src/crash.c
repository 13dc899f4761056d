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

/* how: abort, exit, stack, memory, spin, sleep (holds the loop, at rest), hang (lets the loop go on and never ends); anything else ends
 * well. */
void demo_crash(struct attempt *a) {
    static const char start = 0;
    json_t *payload;
    if (!attempt_parse(a, &payload)) {
        return;
    }
    struct str how = json_opt_str(payload, "how", STR(""));
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
    }
    bool hangs = str_is(how, "hang");
    json_decref(payload);
    if (!hangs) {
        attempt_close(a, OUTCOME_DONE, 200, STR("{}"));
    }
}

#endif
