/* Redis users and Functions, over a loop of its own: the same adapter as everywhere, driven until it is done. */
#include "migrate.h"

#include <base/log.h>
#include <io/redis.h>
#include <io/timer.h>
#include <queues/acl.h>
#include <queues/upkeep.h>
#include <stdio.h>
#include <stdlib.h>

enum { DEADLINE_MS = 10000, RULES_MAX = 64, RULES_BYTES_MAX = 64 << 10 };

struct migration {
    struct loop *loop;
    struct redis *connection;
    struct broker redis;
    const char *password;
    struct timer *deadline;
    struct err err;
    bool begun;
    int role;
};

static void end(struct migration *m, struct err err) {
    m->err = err;
    loop_stop(m->loop);
}

static void on_saved(void *arg, struct err err, const struct reply *reply) {
    (void)reply;
    (void)err; /* without an ACL file there is nothing to save to, and Redis says so */
    end(arg, OK);
}

static void on_old_dropped(void *arg, struct err err, int64_t count) {
    struct migration *m = arg;
    (void)count;
    if (err_is_set(err)) {
        end(m, err_wrap(err, "Redis Functions"));
        return;
    }
    const struct str save[] = {STR("ACL"), STR("SAVE")};
    broker_call(&m->redis, 2, save, on_saved, m);
}

static void on_loaded(void *arg, struct err err, int64_t count) {
    struct migration *m = arg;
    if (err_is_set(err)) {
        on_old_dropped(m, err, count);
    } else {
        queue_functions_drop_old(&m->redis, on_old_dropped, m);
    }
}

static void next_user(struct migration *m);

static void on_user(void *arg, struct err err, const struct reply *reply) {
    struct migration *m = arg;
    (void)reply;
    if (err_is_set(err)) {
        end(m, err_wrap(err, "Redis user"));
        return;
    }
    m->role++;
    next_user(m);
}

/* A rule is a word, or a parenthesised selector. */
static struct str next_rule(struct str *rest) {
    *rest = str_trim(*rest);
    size_t n = 0;
    char stop = rest->n > 0 && rest->p[0] == '(' ? ')' : ' ';
    while (n < rest->n && rest->p[n] != stop) {
        n++;
    }
    n += n < rest->n && stop == ')';
    struct str rule = str_of(rest->p, n);
    *rest = str_of(rest->p + n, rest->n - n);
    return rule;
}

static void next_user(struct migration *m) {
    if (m->role == ACL_ROLE_MAX) {
        queue_functions_load(&m->redis, on_loaded, m);
        return;
    }
    struct buf rules, password;
    char name[64];
    buf_init(&rules, RULES_BYTES_MAX);
    buf_init(&password, 4096);
    acl_add_rules(&rules, (enum acl_role)m->role);
    buf_addf(&password, ">%s", m->password);
    (void)snprintf(name, sizeof name, "penstock_%s", acl_role_name((enum acl_role)m->role));
    struct str argv[RULES_MAX] = {STR("ACL"), STR("SETUSER"), str_c(name), STR("reset"), STR("on")}, rest = buf_str(&rules);
    size_t argc = 5;
    argv[argc++] = m->password[0] != '\0' ? buf_str(&password) : STR("nopass");
    for (struct str rule = next_rule(&rest); rule.n > 0 && argc < RULES_MAX; rule = next_rule(&rest)) {
        argv[argc++] = rule;
    }
    if (err_is_set(buf_status(&rules)) || err_is_set(buf_status(&password))) {
        end(m, err_make(ERR_NOMEM, "Redis user"));
    } else {
        broker_call(&m->redis, argc, argv, on_user, m);
    }
    buf_free(&rules);
    buf_free(&password);
}

static void on_state(void *arg, bool up, struct err why) {
    struct migration *m = arg;
    if (up && !m->begun) {
        m->begun = true;
        next_user(m);
    } else if (!up && why.code != ERR_CLOSED) {
        end(m, err_make(ERR_REDIS_DOWN, "Redis: %s", why.detail));
    }
}

static void on_deadline(void *arg) { end(arg, err_make(ERR_REDIS_DOWN, "Redis did not answer within %d s", DEADLINE_MS / 1000)); }

struct err migrate_redis(const char *url, const char *password) {
    struct migration m = {.password = password};
    const struct redis_options o = {
        .url = url, .name = "migrate", .connect_ms = DEADLINE_MS, .command_ms = DEADLINE_MS, .on_state = on_state, .arg = &m};
    TRY(loop_new(&m.loop));
    m.err = timer_new(m.loop, on_deadline, &m, &m.deadline);
    if (!err_is_set(m.err)) {
        m.err = redis_new(m.loop, &o, &m.connection);
    }
    if (!err_is_set(m.err)) {
        m.redis = redis_broker(m.connection);
        timer_start(m.deadline, DEADLINE_MS);
        loop_run(m.loop);
    }
    timer_free(m.deadline);
    redis_close(m.connection);
    loop_free(m.loop);
    return m.err;
}
