/* What an open dashboard sees: one snapshot a second, made once for all viewers from what the sampler knows anyway and two commands that read
 * the heartbeats. Nothing is made while nobody looks. A viewer that does not take a snapshot misses it, and is cut when it takes
 * none for some seconds: at most one waits for it. */
#ifndef API_LIVE_H
#define API_LIVE_H

#include <base/err.h>
#include <stdbool.h>

struct api;
struct call;
struct live;

MUST struct err live_new(struct api *api, struct live **out);
/* False: the session of who is shown something has ended, or the key was revoked, or was not heard of for long. unsure: the caller's, 0 at
 * first. Asked once a second. */
bool live_may_stay(const struct call *c, unsigned *unsure);
void live_end_all(struct live *l); /* the viewers' streams */
void live_stop(struct live *l);    /* while the loop is there; NULL is fine */
void live_free(struct live *l);    /* when nothing calls back any more */

#endif
