/* The supervisor's side of quarantine: how a process died, and processes for its suspects. One that finds no suspect any more ends by
 * itself. */
#include "supervisor.h"

#include <base/log.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PROCESSES_MAX = 4 }; /* for one queue: a job that spins must not keep the innocent waiting for long */

void crash_name(const struct child *c, int64_t status, int signum, char out[CRASH_WHY_BYTES]) {
    const char *name = sigabbrev_np(signum);
    bool told = c->leaving && (signum == SIGTERM || (signum == SIGKILL && !c->hung)); /* it lingered, or was not ready to hear */
    if (c->hung) {
        (void)snprintf(out, CRASH_WHY_BYTES, "hung");
    } else if (told || (signum == 0 && status == 0)) {
        out[0] = '\0';
    } else if (signum == 0) {
        (void)snprintf(out, CRASH_WHY_BYTES, "exit %d", (int)status);
    } else {
        (void)snprintf(out, CRASH_WHY_BYTES, "SIG%s", name != NULL ? name : "?");
    }
}

struct look {
    struct supervisor *supervisor;
    const struct queue_info *queue;
};

static void on_suspects(void *arg, struct err err, const struct stream_id *ids, size_t n) {
    struct look *look = arg;
    struct supervisor *s = look->supervisor;
    const struct queue_info *q = look->queue;
    size_t wanted = n < PROCESSES_MAX ? n : PROCESSES_MAX;
    free(look);
    (void)ids;
    if (!err_is_set(err) && !s->leaving && supervisor_count_quarantine(s, q) < wanted) {
        supervisor_start_one(s, q, true); /* another one by the next poll */
    }
}

void quarantine_follow(struct supervisor *s, const struct queue_info *q) {
    if (s->quiet || q->paused) {
        return;
    }
    for (unsigned i = 0; i < q->shards_n; i++) {
        struct look *look = malloc(sizeof *look);
        if (look == NULL) {
            return; /* the next poll */
        }
        *look = (struct look){s, q};
        queue_pending(&s->rt->redis, q->shards[i], STR(CONSUMER_QUARANTINE), (struct stream_id){0, 0}, on_suspects, look);
    }
}
