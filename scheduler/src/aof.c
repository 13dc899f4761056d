/* Whether Redis's append-only file can be trusted, for an alert: what the stream class loses by a power cut depends on it. */
#include "scheduler.h"

#include <base/metrics.h>

static bool says(struct str info, const char *field) {
    struct str line;
    while (str_cut(&info, '\n', &line)) {
        if (str_is(str_trim(str_of(line.p, line.n > 0 ? line.n - 1 : 0)), field)) { /* without the CR */
            return true;
        }
    }
    return false;
}

static void on_info(void *arg, struct err err, const struct reply *reply) {
    (void)arg;
    if (err_is_set(err)) {
        return; /* Redis is away: heartbeat.c has said so */
    }
    struct str info = reply_str(reply);
    bool ok = says(info, "aof_enabled:1") && says(info, "aof_last_write_status:ok") && says(info, "aof_last_bgrewrite_status:ok");
    series_set(metric_series(M_REDIS_AOF, NULL, NULL, NULL), ok);
}

void aof_look(struct scheduler *s) {
    const struct str argv[] = {STR("INFO"), STR("persistence")};
    if (scheduler_leads(s) && redis_is_up(s->rt->redis_connection)) {
        broker_call(&s->rt->redis, 2, argv, on_info, s);
    }
}
