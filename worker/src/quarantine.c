/* The supervisor's side of quarantine: how a process died, and processes for its suspects. One that finds no suspect any more ends by
 * itself. */
#include "supervisor.h"

#include <base/log.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PROCESSES_MAX = 4 }; /* for one queue: a job that spins must not keep the innocent waiting for long */

int64_t crash_oom_kills(void) {
    FILE *f = fopen("/proc/vmstat", "re");
    char line[128];
    int64_t n = -1;
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        struct str rest = str_c(line), name = STR_NONE, value = STR_NONE;
        int64_t found;
        (void)str_cut(&rest, ' ', &name);
        (void)str_cut(&rest, '\n', &value);
        if (str_is(name, "oom_kill") && str_to_i64(value, &found)) {
            n = found;
        }
    }
    if (f != NULL) {
        (void)fclose(f);
    }
    return n;
}

static void name_signal(struct child *c, int signum) {
    const char *name = sigabbrev_np(signum);
    (void)snprintf(c->crash, sizeof c->crash, "SIG%s", name != NULL ? name : "?");
}

/* A SIGKILL that is neither ours nor the kernel's for want of memory comes from a person, or from who restarts machines. Where the kernel
 * does not say, it is held against the jobs, so that one that takes all memory is found out. */
void crash_judge(struct child *c, int64_t status, int signum, int64_t oom_kills) {
    bool told = c->leaving && (signum == SIGTERM || (signum == SIGKILL && !c->hung)); /* it lingered, or was not ready to hear */
    bool oom = signum == SIGKILL && oom_kills != c->oom_kills;
    c->killed = false;
    c->crash[0] = '\0';
    if (c->hung) {
        (void)snprintf(c->crash, sizeof c->crash, "hung");
    } else if (told) {
        return;
    } else if (signum != 0 && !oom) {
        c->killed = signum == SIGKILL && oom_kills >= 0;
        name_signal(c, signum);
    } else if (oom) {
        (void)snprintf(c->crash, sizeof c->crash, "OOM");
    } else if (status != 0) {
        (void)snprintf(c->crash, sizeof c->crash, "exit %d", (int)status);
    }
}

struct look {
    struct supervisor *supervisor;
    const struct queue_info *queue;
};

static void on_suspects(void *arg, struct err err, const struct queue_pending *pending, size_t n) {
    struct look *look = arg;
    struct supervisor *s = look->supervisor;
    const struct queue_info *q = look->queue;
    size_t wanted = n < PROCESSES_MAX ? n : PROCESSES_MAX;
    free(look);
    (void)pending;
    if (!err_is_set(err) && !s->leaving && supervisor_may_start(s) && supervisor_count_quarantine(s, q) < wanted) {
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
