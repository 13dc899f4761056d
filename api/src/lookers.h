/* Who looks on by a stream, of snapshots (live.h) or of a job (GET /v1/jobs/{id}/events): so many in all, and a quarter of them for one key, so
 * that no key takes the places of the others. Each is counted from its request to the end of its stream. */
#ifndef API_LOOKERS_H
#define API_LOOKERS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

enum { LOOKERS_MAX = 256, LOOKERS_OF_A_KEY_MAX = LOOKERS_MAX / 4 };

struct call;

/* Both zeroed at first. */
struct looker {
    LIST_ENTRY(looker) link;
    const struct call *call;
};
struct lookers {
    LIST_HEAD(, looker) all;
    size_t n;
};

/* False: there is no place, and the call is answered. */
bool lookers_enter(struct lookers *l, struct looker *me, struct call *c);
void lookers_leave(struct lookers *l, struct looker *me);

#endif
