/* Forgetting: finished jobs and their keys, module effects and events, after their time; a bounded number per statement so that
 * nothing is locked for long. */
#include "scheduler.h"

#include <base/log.h>
#include <jobs/module_sql.h>

static const struct pg_stmt keys_stmt = {
    "retain.keys",
    "DELETE FROM platform.idempotency i USING (SELECT id FROM platform.job WHERE state <> 'waiting' AND finished_at < now() - "
    "make_interval(days => $1::int) ORDER BY finished_at LIMIT 10000) j WHERE i.job_id = j.id",
    1,
};
static const struct pg_stmt jobs_stmt = {
    "retain.jobs",
    "DELETE FROM platform.job WHERE id IN (SELECT id FROM platform.job j WHERE state <> 'waiting' AND finished_at < now() - "
    "make_interval(days => $1::int) AND NOT EXISTS (SELECT FROM platform.idempotency i WHERE i.job_id = j.id) ORDER BY finished_at LIMIT 10000)",
    1,
};
static const struct pg_stmt dead_stmt = {
    "retain.dead",
    "DELETE FROM platform.dead_job WHERE died_at < now() - make_interval(days => $1::int)",
    1,
};

static void on_retained(void *arg, struct err err, const PGresult *res) {
    struct scheduler *s = arg;
    (void)res;
    if (err_is_set(err) && err.code != ERR_CLOSED && !s->stopping) {
        LOG(WARN, "retain.failed", LF_ERR(err));
    }
}

void retain_tick(struct scheduler *s) {
    if (!scheduler_leads(s)) {
        return;
    }
    char keys[PG_INT_BYTES], days[PG_INT_BYTES];
    const struct pg_value key_days = pg_int(s->rt->conf->retention_key_days, keys),
                          all_days = pg_int(s->rt->conf->retention_days, days);
    pg_exec(s->rt->platform, &keys_stmt, &key_days, 0, 0, on_retained, s);
    pg_exec(s->rt->platform, &jobs_stmt, &all_days, 0, 0, on_retained, s);
    pg_exec(s->rt->platform, &dead_stmt, &all_days, 0, 0, on_retained, s);
    for (size_t m = 0; m < s->rt->registry->modules_n; m++) {
        struct module_env *env = &s->rt->modules[m];
        pg_exec(env->db, &env->module->sql->retain, &all_days, 0, 0, on_retained, s);
    }
}
