#include "scheduler.h"

#include <stdlib.h>

enum { FIRST_CAP = 1024 };

struct collecting {
    struct scheduler *scheduler;
    const struct shard *shard;
    struct presence *presence;
    size_t step;
    void (*cb)(void *arg, struct err err);
    void *arg;
};

static const enum shard_key steps[] = {KEY_DELAYED, KEY_STREAM, KEY_PARKED, KEY_DELAYED};
enum { STEPS = sizeof steps / sizeof steps[0] };

void presence_clear(struct presence *p) {
    free(p->ids);
    *p = (struct presence){0};
}

static int compare(const void *a, const void *b) { return memcmp(a, b, sizeof(struct uuid)); }

bool presence_has(const struct presence *p, struct uuid id) {
    return p->n > 0 && bsearch(&id, p->ids, p->n, sizeof id, compare) != NULL;
}

static bool add(struct presence *p, const struct uuid *ids, size_t n) {
    if (p->cap - p->n < n) {
        size_t cap = p->cap == 0 ? FIRST_CAP : p->cap;
        while (cap - p->n < n) {
            cap *= 2;
        }
        struct uuid *bigger = realloc(p->ids, cap * sizeof *bigger);
        if (bigger == NULL) {
            return false;
        }
        p->ids = bigger;
        p->cap = cap;
    }
    memcpy(p->ids + p->n, ids, n * sizeof *ids);
    p->n += n;
    return true;
}

static void on_walked(void *arg, struct err err, const struct uuid *jobs, size_t n, struct str next);

static void walk(struct collecting *c, struct str cursor) {
    queue_walk(&c->scheduler->rt->redis, c->shard, steps[c->step], cursor, on_walked, c);
}

static void on_walked(void *arg, struct err err, const struct uuid *jobs, size_t n, struct str next) {
    struct collecting *c = arg;
    if (!err_is_set(err) && n > 0 && !add(c->presence, jobs, n)) {
        err = err_make(ERR_NOMEM, "ids of a shard");
    }
    if (!err_is_set(err) && next.n > 0) {
        walk(c, next);
        return;
    }
    if (!err_is_set(err) && ++c->step < STEPS) {
        walk(c, STR_NONE);
        return;
    }
    if (!err_is_set(err) && c->presence->n > 0) {
        qsort(c->presence->ids, c->presence->n, sizeof(struct uuid), compare);
    }
    c->cb(c->arg, err);
    free(c);
}

void presence_collect(struct scheduler *s, const struct shard *shard, struct presence *p, void (*cb)(void *arg, struct err err),
                      void *arg) {
    struct collecting *c = malloc(sizeof *c);
    presence_clear(p);
    if (c == NULL) {
        cb(arg, err_make(ERR_NOMEM, "presence"));
        return;
    }
    *c = (struct collecting){.scheduler = s, .shard = shard, .presence = p, .cb = cb, .arg = arg};
    walk(c, STR_NONE);
}
