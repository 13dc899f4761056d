#include "world.h"

#include <stdarg.h>
#include <stdlib.h>

struct world world;

enum { HOUR_MS = 3600000 };

void *sim_new(size_t n) {
    void *p = calloc(1, n);
    if (p == NULL) {
        (void)fprintf(stderr, "out of memory\n");
        abort();
    }
    return p;
}

/* splitmix64 */
static uint64_t draw(void) {
    uint64_t z = world.random += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

uint64_t world_random(uint64_t n) { return draw() % n; }
int64_t world_between(int64_t from, int64_t to) { return from + (int64_t)world_random((uint64_t)(to - from + 1)); }
bool world_chance(double p) { return (double)(draw() >> 11) / 9007199254740992.0 < p; }
bool world_fault(double p) { return !world.calm && world_chance(p); }
int64_t world_wall_ms(void) { return world.epoch_ms + world.now_us / 1000; }

int64_t world_latency_us(void) {
    if (world_fault(world.weather.slow)) {
        return world_between(1000, world_chance(0.2) ? 8000000 : 1500000);
    }
    return world_chance(0.02) ? world_between(1000, 50000) : world_between(50, 1500);
}

/* ---- events ---- */

static bool is_before(const struct event *a, const struct event *b) {
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->seq < b->seq;
}

static void push(struct event *e) {
    if (world.heap_n == world.heap_cap) {
        world.heap_cap = world.heap_cap == 0 ? 256 : 2 * world.heap_cap;
        world.heap = realloc(world.heap, world.heap_cap * sizeof(struct event *));
        if (world.heap == NULL) {
            abort();
        }
    }
    size_t at = world.heap_n++;
    while (at > 0 && is_before(e, world.heap[(at - 1) / 2])) {
        world.heap[at] = world.heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    world.heap[at] = e;
}

static struct event *pop(void) {
    struct event *top = world.heap[0], *last = world.heap[--world.heap_n];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= world.heap_n) {
            break;
        }
        if (child + 1 < world.heap_n && is_before(world.heap[child + 1], world.heap[child])) {
            child++;
        }
        if (!is_before(world.heap[child], last)) {
            break;
        }
        world.heap[at] = world.heap[child];
        at = child;
    }
    if (world.heap_n > 0) {
        world.heap[at] = last;
    }
    return top;
}

void world_at(int64_t at_us, struct actor *owner, void (*run)(void *arg), void *arg, struct event **where) {
    struct event *e = sim_new(sizeof *e);
    *e = (struct event){at_us > world.now_us ? at_us : world.now_us, world.event_seq++, owner, run, arg, where, false};
    if (where != NULL) {
        *where = e;
    }
    push(e);
}

void world_after(int64_t us, struct actor *owner, void (*run)(void *arg), void *arg, struct event **where) {
    world_at(world.now_us + us, owner, run, arg, where);
}

void world_after_owned(int64_t us, struct actor *owner, void (*run)(void *arg), void *arg) {
    struct event *e;
    world_after(us, owner, run, arg, &e);
    e->owned = true;
    e->where = NULL;
}

void world_cancel(struct event **where) {
    if (*where != NULL) {
        (*where)->run = NULL;
        (*where)->where = NULL;
        *where = NULL;
    }
}

bool world_step(void) {
    if (world.heap_n == 0) {
        return false;
    }
    struct event *e = pop();
    struct actor *owner = e->owner;
    if (e->run != NULL && owner != NULL && owner->stopped_until > e->at_us) {
        e->at_us = owner->stopped_until; /* it waits, behind what waits already */
        push(e);
        return true;
    }
    world.now_us = e->at_us;
    if (e->run != NULL) {
        if (e->where != NULL) {
            *e->where = NULL;
        }
        world.steps++;
        world.actor = owner;
        e->run(e->arg);
        world.actor = NULL;
        if (owner != NULL) {
            actor_settle(owner);
        }
    }
    free(e);
    return true;
}

/* ---- the run ---- */

void world_begin(uint64_t seed) {
    world.seed = world.random = seed;
    world.now_us = world.redis_offset_ms = 0;
    world.steps = world.event_seq = 0;
    world.hash = UINT64_C(14695981039346656037);
    world.calm = world.fine = world.steady = world.poisoned = false;
    world.failure[0] = '\0';
    world.actor = NULL;
    LIST_INIT(&world.actors);
    /* Now and then the hour ends in the middle of it: some hashes rotate. */
    int64_t hour = INT64_C(494000) * HOUR_MS;
    world.epoch_ms = world_chance(0.3) ? hour - world_between(1000, 60000) : hour + world_between(0, HOUR_MS);
}

void world_end(void) {
    struct actor *a;
    LIST_FOREACH(a, &world.actors, link) { actor_kill(a); }
    while (world.heap_n > 0) {
        struct event *e = pop();
        if (e->where != NULL) {
            *e->where = NULL;
        }
        if (e->owned) {
            free(e->arg);
        }
        free(e);
    }
    free(world.heap);
    world.heap = NULL;
    world.heap_cap = 0;
    while ((a = LIST_FIRST(&world.actors)) != NULL) {
        LIST_REMOVE(a, link);
        free(a->stack);
        free(a);
    }
}

void trace(const char *fmt, ...) {
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    for (int i = 0; i < n && i < (int)sizeof text - 1; i++) {
        world.hash = (world.hash ^ (uint8_t)text[i]) * UINT64_C(1099511628211);
    }
    if (world.tracing) {
        (void)printf("%11.6f %-14s %s\n", (double)world.now_us / 1e6, world.actor != NULL ? world.actor->name : "-", text);
    }
}

void broken(const char *fmt, ...) {
    if (world.failure[0] != '\0') {
        return;
    }
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(world.failure, sizeof world.failure, fmt, ap);
    va_end(ap);
    trace("BROKEN: %s", world.failure);
}
