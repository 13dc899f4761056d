#include "lookers.h"

#include <string.h>

#include "call.h"

static size_t count_of(const struct lookers *l, const char *key) {
    size_t n = 0;
    const struct looker *other;
    LIST_FOREACH(other, &l->all, link) { n += other->call->who.keyed && strcmp(other->call->who.author, key) == 0; }
    return n;
}

bool lookers_enter(struct lookers *l, struct looker *me, struct call *c) {
    if (l->n >= LOOKERS_MAX) {
        call_problem(c, PROBLEM_VIEWERS, "%d look on already", LOOKERS_MAX);
        return false;
    }
    if (c->who.keyed && count_of(l, c->who.author) >= LOOKERS_OF_A_KEY_MAX) {
        call_problem(c, PROBLEM_VIEWERS, "%d look on already with this key", LOOKERS_OF_A_KEY_MAX);
        return false;
    }
    me->call = c;
    LIST_INSERT_HEAD(&l->all, me, link);
    l->n++;
    return true;
}

void lookers_leave(struct lookers *l, struct looker *me) {
    LIST_REMOVE(me, link);
    l->n--;
}
