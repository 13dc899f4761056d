/* Redis as our users see it, over a loop of its own: each question is asked, and the loop runs until it is answered. */
#include "doctor.h"

#include <base/arena.h>
#include <base/json.h>
#include <io/redis.h>
#include <queues/acl.h>
#include <queues/upkeep.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAJOR_LEAST = 7, PROCESSES_MAX = 1024, ALIVE_MS = 10000, FLEET_BYTES_MAX = 64 << 20, INFO_BYTES_MAX = 1 << 20 };

struct session {
    struct loop *loop;
    struct redis *connection;
    struct broker redis;
    bool opened, done;
    struct err err; /* of what was asked last */
};

/* ---- asking ---- */

/* The text of an error may be the connection's, and it is closed before that is shown. */
static void answered(struct session *s, struct err err) {
    if (!s->done) {
        s->done = true;
        s->err = err_is_set(err) ? err_make(err.code, "%s", err.detail) : OK;
        loop_stop(s->loop);
    }
}

static struct err wait(struct session *s) {
    while (!s->done) {
        loop_run(s->loop);
    }
    return s->err;
}

/* Once it is open, a loss shows as the failure of what was asked. */
static void on_state(void *arg, bool up, struct err why) {
    struct session *s = arg;
    if (!s->opened) {
        answered(s, up ? OK : why);
    }
}

static void session_close(struct session *s) {
    redis_close(s->connection);
    loop_free(s->loop);
    *s = (struct session){0};
}

/* user NULL: the url's. */
static struct err session_open(const struct doctor *d, const char *user, struct session *s) {
    const struct redis_options o = {
        .url = d->conf.redis_url,
        .user = user,
        .password = user != NULL ? d->redis_password : NULL,
        .name = "doctor",
        .connect_ms = d->conf.redis_connect_ms,
        .command_ms = d->conf.redis_command_ms,
        .on_state = on_state,
        .arg = s,
    };
    *s = (struct session){0};
    TRY(loop_new(&s->loop));
    struct err e = redis_new(s->loop, &o, &s->connection);
    if (!err_is_set(e)) {
        s->redis = redis_broker(s->connection);
        e = wait(s);
    }
    s->opened = true;
    if (err_is_set(e)) {
        session_close(s);
    }
    return e;
}

/* What a question is answered with; read copies what it needs of the reply. */
struct question {
    struct session *session;
    void (*read)(void *arg, const struct reply *reply);
    void *arg;
};

static void on_reply(void *arg, struct err err, const struct reply *reply) {
    struct question *q = arg;
    if (!err_is_set(err)) {
        q->read(q->arg, reply);
    }
    answered(q->session, err);
}

static struct err ask(struct session *s, size_t argc, const struct str *argv, void (*read)(void *arg, const struct reply *reply),
                      void *arg) {
    struct question q = {s, read, arg};
    s->done = false;
    broker_call(&s->redis, argc, argv, on_reply, &q);
    return wait(s);
}

/* ---- INFO ---- */

static struct str info_field(struct str info, const char *name) {
    struct str line;
    while (str_cut(&info, '\n', &line)) {
        struct str key;
        if (line.n > 0 && line.p[line.n - 1] == '\r') {
            line.n--;
        }
        if (str_cut(&line, ':', &key) && str_is(key, name)) {
            return line;
        }
    }
    return STR("");
}

static void check_version(struct doctor *d, struct str info) {
    struct str version = info_field(info, "redis_version");
    struct str rest = version, major = STR("");
    int64_t n = 0;
    bool good = str_cut(&rest, '.', &major) && str_to_i64(major, &n) && n >= MAJOR_LEAST;
    doctor_say(d, good ? DOCTOR_OK : DOCTOR_FAIL, "redis.version", good ? NULL : "7.0 or later is needed, for its Functions",
               "%.*s", STR_ARG(version));
}

static void check_memory(struct doctor *d, struct str info) {
    struct str policy = info_field(info, "maxmemory_policy");
    struct str most = info_field(info, "maxmemory");
    if (!str_is(policy, "noeviction")) {
        doctor_say(d, DOCTOR_FAIL, "redis.memory", "set it to noeviction, as ops/redis.conf does: what is evicted is lost",
                   "maxmemory-policy is %.*s", STR_ARG(policy));
    } else if (str_is(most, "0")) {
        doctor_say(d, DOCTOR_WARN, "redis.memory", "set it below what the machine can spare, or the kernel will end Redis",
                   "maxmemory is not set");
    } else {
        doctor_say(d, DOCTOR_OK, "redis.memory", NULL, "noeviction, maxmemory %.*s",
                   STR_ARG(info_field(info, "maxmemory_human")));
    }
}

static void check_log(struct doctor *d, struct str info) {
    bool on = str_is(info_field(info, "aof_enabled"), "1");
    bool writes = !str_is(info_field(info, "aof_last_write_status"), "err");
    doctor_say(d, on && writes ? DOCTOR_OK : DOCTOR_FAIL, "redis.appendonly",
               on && writes ? NULL
               : on         ? "make room on its disk; Redis refuses writes until then"
                            : "set appendonly yes, as ops/redis.conf does",
               "%s",
               on && writes ? "yes"
               : on         ? "the append-only file cannot be written"
                            : "no: stream-class jobs are lost with the process");
}

static void check_tls(struct doctor *d) {
    static const char *const here[] = {"127.", "localhost", "[::1]"};
    struct str host = str_c(d->conf.redis_url), skipped;
    bool local = !str_starts(host, STR("redis://"));
    host = local ? host : str_of(host.p + 8, host.n - 8);
    while (memchr(host.p, '@', host.n) != NULL) {
        (void)str_cut(&host, '@', &skipped);
    }
    for (size_t i = 0; i < sizeof here / sizeof here[0]; i++) {
        local |= str_starts(host, str_c(here[i]));
    }
    doctor_say(d, local ? DOCTOR_OK : DOCTOR_WARN, "redis.tls",
               local ? NULL : "let a tunnel on this machine encrypt it: guides/tls.md has one", "%s",
               local ? "on this machine, or through a tunnel on it" : "passwords and payloads go over the network in the clear");
}

static void keep_text(void *arg, const struct reply *reply) { buf_add(arg, reply_str(reply)); }

static void check_info(struct doctor *d, struct session *s, struct buf *info) {
    const struct str argv[] = {STR("INFO")};
    struct err e = ask(s, 1, argv, keep_text, info);
    if (err_is_set(e)) {
        doctor_say(d, DOCTOR_FAIL, "redis.info", NULL, "%s", e.detail);
        return;
    }
    check_version(d, buf_str(info));
    check_memory(d, buf_str(info));
    check_log(d, buf_str(info));
}

static void keep_time(void *arg, const struct reply *reply) {
    struct wall *out = arg;
    int64_t s, us;
    if (str_to_i64(reply_str(reply_at(reply, 0)), &s) && str_to_i64(reply_str(reply_at(reply, 1)), &us)) {
        *out = (struct wall){s * 1000 + us / 1000};
    }
}

static void check_clock(struct doctor *d, struct session *s) {
    const struct str argv[] = {STR("TIME")};
    struct wall theirs = {0}, before = clock_wall(&clock_system);
    struct err e = ask(s, 1, argv, keep_time, &theirs);
    if (!err_is_set(e)) {
        doctor_clock(d, "redis.clock", before, theirs, clock_wall(&clock_system));
    }
}

/* ---- shards ---- */

struct epoch {
    struct session *session;
    char text[EPOCH_BYTES];
};

static void on_depth(void *arg, struct err err, const struct queue_depth *depth) {
    struct epoch *e = arg;
    if (depth != NULL) {
        (void)str_copy_c(str_c(depth->epoch), e->text, sizeof e->text);
    }
    answered(e->session, err);
}

/* out: the value of :e. */
static struct err ask_epoch(struct session *s, const struct doctor_queue *q, unsigned number, char out[EPOCH_BYTES]) {
    struct shard *shard = malloc(sizeof *shard);
    struct epoch e = {s, ""};
    if (shard == NULL) {
        return err_make(ERR_NOMEM, "shard");
    }
    struct err err = shard_init(shard, str_c(q->name), number);
    if (!err_is_set(err)) {
        s->done = false;
        queue_depth(&s->redis, shard, on_depth, &e);
        err = wait(s);
    }
    free(shard);
    (void)str_copy_c(str_c(e.text), out, EPOCH_BYTES);
    return err;
}

static bool is_ready(const char *epoch, struct str run_id) {
    struct str rest = str_c(epoch);
    struct str word = STR("");
    return str_cut(&rest, ' ', &word) && str_is(word, "ready") && str_cut(&rest, ' ', &word) && str_eq(word, run_id);
}

/* False: nothing can be said of the other shards either. */
static bool check_shard(struct doctor *d, struct session *s, const struct doctor_queue *q, unsigned number, struct str run_id,
                        unsigned *unready) {
    char epoch[EPOCH_BYTES];
    struct err e = ask_epoch(s, q, number, epoch);
    if (e.code == ERR_REDIS_NOFUNC) {
        doctor_say(d, DOCTOR_FAIL, "redis.functions", "penstock migrate loads it, and so does penstock scheduler",
                   "the library of this version is not loaded");
        return false;
    }
    if (err_is_set(e) && e.code != ERR_REDIS_NOGROUP) {
        doctor_say(d, DOCTOR_FAIL, "redis.functions", NULL, "%s", e.detail);
        return false;
    }
    *unready += err_is_set(e) || !is_ready(epoch, run_id);
    return true;
}

static void check_shards(struct doctor *d, struct session *s, struct str run_id) {
    unsigned unready = 0, all = 0;
    for (size_t i = 0; i < d->queues_n; i++) {
        for (unsigned number = 0; number < d->queues[i].shards; number++, all++) {
            if (!check_shard(d, s, &d->queues[i], number, run_id, &unready)) {
                return;
            }
        }
    }
    if (all == 0) {
        doctor_say(d, DOCTOR_WARN, "redis.epoch", "see what Postgres says", "not looked at: the queues are not known");
        return;
    }
    doctor_say(d, DOCTOR_OK, "redis.functions", NULL, "loaded");
    doctor_say(d, unready == 0 ? DOCTOR_OK : DOCTOR_WARN, "redis.epoch",
               unready == 0 ? NULL : "penstock scheduler sees to it within seconds; if it does not, look at its log",
               "%u of %u shards ready", all - unready, all);
}

/* ---- processes ---- */

struct fleet {
    struct arena arena;
    struct str argv[PROCESSES_MAX + 1]; /* MGET key… */
    size_t n;
    struct doctor *doctor;
    int schedulers, supervisors;
};

static void keep_names(void *arg, const struct reply *reply) {
    struct fleet *f = arg;
    for (size_t i = 0; i < reply_len(reply) && f->n < PROCESSES_MAX; i++) {
        struct str key = arena_printf(&f->arena, KEY_PROCESS_PREFIX "%.*s", STR_ARG(reply_str(reply_at(reply, i))));
        if (key.p != NULL) {
            f->argv[++f->n] = key;
        }
    }
}

static void say_why(const json_t *why, struct doctor_queue *q) {
    const char *text = json_string_value(json_object_iter_value(json_object_iter((json_t *)(uintptr_t)why)));
    (void)snprintf(q->why, sizeof q->why, "%s%s", text != NULL ? ": " : "", text != NULL ? text : "");
}

static void count_beat(struct fleet *f, const json_t *beat) {
    struct str role = json_opt_str(beat, "role", STR(""));
    struct str queue = json_opt_str(beat, "queue", STR(""));
    f->schedulers += str_is(role, "scheduler");
    f->supervisors += str_is(role, "worker") && queue.n == 0;
    struct str open = json_opt_str(beat, "circuit_open", STR(""));
    for (size_t i = 0; queue.n > 0 && i < f->doctor->queues_n; i++) {
        struct doctor_queue *q = &f->doctor->queues[i];
        if (str_is(queue, q->name)) {
            q->alive++;
            q->cut_off += open.n > 0;
            if (open.n > 0) {
                (void)snprintf(q->open, sizeof q->open, "%.*s", STR_ARG(open));
                say_why(json_object_get(beat, "circuit_why"), q);
            }
        }
    }
}

static void keep_beats(void *arg, const struct reply *reply) {
    struct fleet *f = arg;
    for (size_t i = 0; i < reply_len(reply); i++) {
        json_t *beat;
        if (!err_is_set(json_read(reply_str(reply_at(reply, i)), &beat))) {
            count_beat(f, beat);
            json_decref(beat);
        }
    }
}

static struct err ask_fleet(struct session *s, struct fleet *f) {
    char since[24];
    (void)snprintf(since, sizeof since, "%lld", (long long)(clock_wall(&clock_system).ms - ALIVE_MS));
    const struct str names[] = {STR("ZRANGEBYSCORE"), STR(KEY_PROCESSES), str_c(since), STR("+inf")};
    TRY(ask(s, 4, names, keep_names, f));
    f->argv[0] = STR("MGET");
    return f->n > 0 ? ask(s, f->n + 1, f->argv, keep_beats, f) : OK;
}

static void say_queue(struct doctor *d, const struct doctor_queue *q) {
    char what[LIMIT_NAME_BYTES + 16];
    (void)snprintf(what, sizeof what, "worker.%s", q->name);
    enum doctor_level level = q->alive == 0 && q->desired > 0 ? DOCTOR_FAIL : q->alive != q->desired ? DOCTOR_WARN : DOCTOR_OK;
    if (level == DOCTOR_OK && q->cut_off > 0) {
        doctor_say(d, DOCTOR_WARN, what, "its jobs wait for it, and no attempt is charged",
                   "%s does not answer %lld of %lld processes%s", q->open, (long long)q->cut_off, (long long)q->alive, q->why);
        return;
    }
    doctor_say(d, level, what,
               level == DOCTOR_OK ? NULL : "the supervisors follow within seconds; if they do not, look at their log",
               "%lld of %lld processes alive", (long long)q->alive, (long long)q->desired);
}

static void say_fleet(struct doctor *d, const struct fleet *f) {
    doctor_say(d, f->schedulers > 0 ? DOCTOR_OK : DOCTOR_FAIL, "scheduler",
               f->schedulers > 0 ? NULL : "start penstock scheduler: delayed jobs wait for it", "%d alive", f->schedulers);
    doctor_say(d, f->supervisors > 0 ? DOCTOR_OK : DOCTOR_FAIL, "worker", f->supervisors > 0 ? NULL : "start penstock worker",
               "%d supervisors alive", f->supervisors);
    for (size_t i = 0; i < d->queues_n; i++) {
        say_queue(d, &d->queues[i]);
    }
}

static void check_fleet(struct doctor *d, struct session *s) {
    struct fleet *f = calloc(1, sizeof *f);
    struct err e = f != NULL ? OK : err_make(ERR_NOMEM, "processes");
    if (f != NULL) {
        f->doctor = d;
        arena_init(&f->arena, 64 * 1024, FLEET_BYTES_MAX);
        e = ask_fleet(s, f);
    }
    if (err_is_set(e)) {
        doctor_say(d, DOCTOR_FAIL, "worker", NULL, "the processes are not known: %s", e.detail);
    } else {
        say_fleet(d, f);
    }
    if (f != NULL) {
        arena_free(&f->arena);
    }
    free(f);
}

/* ---- roles ---- */

/* INFO is the scheduler's alone, so its user looks at the server; the API's user sees shards and processes. */
static void check_as(struct doctor *d, enum acl_role role, struct session *s, struct buf *info) {
    if (role == ACL_SCHEDULER) {
        check_info(d, s, info);
        check_tls(d);
        check_clock(d, s);
    } else if (role == ACL_API) {
        check_shards(d, s, info_field(buf_str(info), "run_id"));
        check_fleet(d, s);
    }
}

/* Without a password file every process is Redis' default user. False: the other roles would fare no better. */
static bool check_role(struct doctor *d, enum acl_role role, struct buf *info) {
    char user[32], what[32];
    struct session s;
    bool named = d->redis_password[0] != '\0';
    (void)snprintf(user, sizeof user, "penstock_%s", acl_role_name(role));
    (void)snprintf(what, sizeof what, "redis.%s", acl_role_name(role));
    struct err e = session_open(d, named ? user : NULL, &s);
    if (err_is_set(e)) {
        bool down = e.code != ERR_REDIS_REPLY; /* else it answers, and says no */
        doctor_say(d, DOCTOR_FAIL, what,
                   down ? "start it, or set redis.url"
                        : "penstock migrate makes the users, with the password of redis.password_file",
                   "%s", e.detail);
        return !down;
    }
    doctor_say(d, DOCTOR_OK, what, NULL, "%s", named ? user : "as Redis' default user");
    check_as(d, role, &s, info);
    session_close(&s);
    return true;
}

void doctor_redis(struct doctor *d) {
    static const enum acl_role roles[] = {ACL_SCHEDULER, ACL_API, ACL_WORKER};
    struct buf info;
    bool go_on = true;
    buf_init(&info, INFO_BYTES_MAX);
    for (size_t i = 0; i < sizeof roles / sizeof roles[0] && go_on; i++) {
        go_on = check_role(d, roles[i], &info);
    }
    buf_free(&info);
}
