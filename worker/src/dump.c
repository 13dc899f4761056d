#include "dump.h"

#include "process.h"

#include <base/json.h>
#include <base/log.h>
#include <queues/shard.h>
#include <stdio.h>

enum { DUMP_BYTES_MAX = 1 << 20, WORD_BYTES_MAX = 64 };
#define DUMP_LIFE_S "10"

/* A server, a statement, or nothing that could be seen: a timer, a child of its own. */
static const char *waits_for(const struct held *h) {
    const struct runtime *rt = h->process->rt;
    uint32_t owner = 1 + (uint32_t)(h->slot - h->process->table->entries);
    const char *what = http_client_waits(rt->http, owner);
    what = what != NULL ? what : http_client_waits(rt->handlers, owner);
    what = what != NULL ? what : pg_pool_waits(rt->platform, owner);
    for (size_t i = 0; i < RUNTIME_MODULES_MAX && rt->modules[i].module != NULL && what == NULL; i++) {
        what = pg_pool_waits(rt->modules[i].db, owner);
    }
    return what;
}

static void add_text(struct buf *b, const char *name, struct str value) {
    buf_addf(b, ",\"%s\":", name);
    json_add_string(b, value);
}

static void add_job(struct buf *b, const struct held *h) {
    const struct envelope *job = &h->attempt.job;
    char id[UUID_TEXT_BYTES];
    const char *what = waits_for(h);
    uuid_text(job->id, id);
    buf_addf(b, "{\"id\":\"%s\",\"attempt\":%u,\"since_ms\":%lld", id, job->attempt + 1, (long long)h->started_at.ms);
    add_text(b, "type", job->type);
    add_text(b, "tenant", job->tenant);
    if (what != NULL) {
        add_text(b, "waits_for", str_c(what));
    }
    if (h->attempt.place.dependency != NULL) {
        add_text(b, "server", str_c(h->attempt.place.dependency->name));
    }
    buf_addf(b, ",\"stopping\":%s}", h->stopping ? "true" : "false");
}

/* only: NULL, or the one that was asked for. */
static void write_dump(const struct process *p, const struct held *only, struct buf *b) {
    const struct held *h;
    const char *comma = "";
    buf_addf(b, "{\"process\":\"%s\",\"consumer\":\"%s\",\"waiting\":%zu,\"ending\":%zu,\"jobs\":[", p->rt->process, p->consumer,
             p->waiting_n, p->outgoing_n + p->finishing_n);
    TAILQ_FOREACH(h, &p->running, link) {
        if (only == NULL || h == only) {
            buf_add_c(b, comma);
            add_job(b, h);
            comma = ",";
        }
    }
    buf_add_c(b, "]}");
}

static const struct held *find(const struct process *p, struct uuid job) {
    const struct held *h;
    TAILQ_FOREACH(h, &p->running, link) {
        if (uuid_eq(h->attempt.job.id, job)) {
            return h;
        }
    }
    return NULL;
}

static void on_written(void *arg, struct err err, const struct reply *reply) {
    (void)arg;
    (void)err; /* whoever asked hears nothing, and says so */
    (void)reply;
}

void dump_asked(struct process *p, struct str message) {
    struct str word = message, whom;
    struct uuid job;
    char key[sizeof KEY_ANSWER_PREFIX + WORD_BYTES_MAX];
    struct buf b;
    if (!str_cut(&word, ' ', &whom) || !str_is_name(word, WORD_BYTES_MAX)) {
        return;
    }
    const struct held *only = uuid_parse(whom, &job) ? find(p, job) : NULL;
    if (only == NULL && !str_is(whom, p->consumer)) {
        return;
    }
    (void)snprintf(key, sizeof key, KEY_ANSWER_PREFIX "%.*s", STR_ARG(word));
    buf_init(&b, DUMP_BYTES_MAX);
    write_dump(p, only, &b);
    if (!err_is_set(buf_status(&b))) {
        const struct str set[] = {STR("SET"), str_c(key), buf_str(&b), STR("EX"), STR(DUMP_LIFE_S)};
        broker_call(&p->rt->redis, 5, set, on_written, NULL);
    }
    buf_free(&b);
}
