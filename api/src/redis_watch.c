#include "redis_watch.h"

#include <base/metrics.h>
#include <stdio.h>

#include "server.h"

static void on_write(void *arg, struct err err, const struct reply *reply) {
    struct api *api = arg;
    (void)reply;
    api->redis.full = err.code == ERR_REDIS_FULL;
    series_set(metric_series(M_REDIS_WRITES, NULL, NULL, NULL), !err_is_set(err));
}

/* Whether a Redis that answers also writes: the beat of this process, once more. */
static void try_write(struct api *api) {
    char now[24];
    (void)snprintf(now, sizeof now, "%lld", (long long)loop_wall(api->rt->loop).ms);
    const struct str argv[] = {STR("ZADD"), STR(KEY_PROCESSES), str_c(now), str_c(api->rt->process)};
    broker_call(&api->rt->redis, 4, argv, on_write, api);
}

static void on_mail(void *arg, struct err err, const struct reply *reply) {
    struct api *api = arg;
    api->redis.mail_down = !err_is_set(err) && str_is(reply_str(reply_at(reply, 0)), "1");
}

/* Only workers speak to the relay. */
static void read_mail(struct api *api) {
    const struct str argv[] = {STR("MGET"), STR(KEY_DOWN_PREFIX "mail")};
    broker_call(&api->rt->redis, 2, argv, on_mail, api);
}

/* Lines end in CR LF, and the LF is gone. */
static void take_field(struct str line, struct str name, int64_t *out) {
    if (str_starts(line, name) && line.n > name.n) {
        (void)str_to_i64(str_of(line.p + name.n, line.n - name.n - 1), out);
    }
}

static void on_memory(void *arg, struct err err, const struct reply *reply) {
    struct api *api = arg;
    struct str text = err_is_set(err) ? STR_NONE : reply_str(reply), line;
    int64_t used = 0, outside = 0, most = 0, machine = 0;
    while (str_cut(&text, '\n', &line)) {
        take_field(line, STR("used_memory:"), &used);
        take_field(line, STR("mem_not_counted_for_evict:"), &outside);
        take_field(line, STR("maxmemory:"), &most);
        take_field(line, STR("total_system_memory:"), &machine);
    }
    most = most > 0 ? most : machine;
    double fill = most > 0 ? (double)(used - outside) / (double)most : 0;
    api->redis.fill = fill < 1 ? fill : 0;
    series_set(metric_series(M_REDIS_FILL, NULL, NULL, NULL), fill);
}

static void read_memory(struct api *api) {
    const struct str argv[] = {STR("INFO"), STR("memory")};
    broker_call(&api->rt->redis, 2, argv, on_memory, api);
}

void redis_watch_look(struct api *api) {
    try_write(api);
    read_mail(api);
    read_memory(api);
}
