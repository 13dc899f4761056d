/* Every call of the module as a row: what it sends, a good reply, and what its callback then says. Shared by test_calls.c (does
 * it send and read the right things?) and test_replies.c (does it survive wrong ones?). */
#ifndef CALLS_FIXTURE_H
#define CALLS_FIXTURE_H

#include "fake_broker.h"

#include <base/limits.h>
#include <queues/enqueue.h>
#include <queues/quarantine.h>
#include <queues/settle.h>
#include <queues/upkeep.h>
#include <queues/version.h>
#include <stdarg.h>

#define V "_" FUNCTIONS_TEXT(FUNCTIONS_VERSION)
#define JOB_A "aaaaaaaaaaaaaaaa"
#define JOB_B "bbbbbbbbbbbbbbbb"
#define NOBODY "\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00"

struct said {
    unsigned runs;
    enum err_code code;
    char text[4096];
};

struct ctx {
    struct fake *fake;
    const struct shard *shard, *other; /* pen:{q:0}, pen:{q:1} */
    struct said *said;
};

static inline void say(struct said *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
static inline void say(struct said *s, const char *fmt, ...) {
    size_t n = strlen(s->text);
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(s->text + n, sizeof s->text - n, fmt, ap);
    va_end(ap);
}

static inline void say_ids(struct said *s, const struct stream_id *ids, size_t n) {
    say(s, "[");
    for (size_t i = 0; i < n; i++) {
        char room[STREAM_ID_BYTES];
        say(s, " %.*s", STR_ARG(stream_id_text(ids[i], room)));
    }
    say(s, " ]");
}

static inline bool said_begin(struct said *s, struct err err) {
    s->runs++;
    s->code = err.code;
    return !err_is_set(err);
}

static inline struct uuid job_of(const char *text) {
    struct uuid u;
    memcpy(u.b, text, sizeof u.b);
    return u;
}

static inline void on_count_said(void *arg, struct err err, int64_t count) {
    if (said_begin(arg, err)) {
        say(arg, "%lld", (long long)count);
    }
}

static inline void on_lost_said(void *arg, struct err err, const struct stream_id *lost, size_t n) {
    if (said_begin(arg, err)) {
        say_ids(arg, lost, n);
    } else {
        assert_int_equal(0, n);
    }
}

static inline void on_claim_said(void *arg, struct err err, const struct claimed *e, size_t n) {
    bool good = said_begin(arg, err);
    assert_true(good || n == 0);
    assert_true(n <= 20); /* 10 of each of two shards are asked for */
    for (size_t i = 0; i < n; i++) {
        char room[STREAM_ID_BYTES];
        say(arg, "%u/%.*s h=%.*s p=%.*s;", e[i].shard->number, STR_ARG(stream_id_text(e[i].id, room)), STR_ARG(e[i].header),
            STR_ARG(e[i].payload));
    }
}

static inline void on_add_said(void *arg, struct err err, int64_t epoch) { on_count_said(arg, err, epoch); }

static inline void run_add(const struct ctx *c) {
    const struct queue_item items[] = {{.header = STR("H1"), .payload = STR("P1")},
                                       {.header = STR("H2"), .payload = STR("P2"), .due = {1730406023291}}};
    queue_add(&c->fake->broker, c->shard, items, 2, on_add_said, c->said);
}

static inline void on_enter_said(void *arg, struct err err, const struct queue_entered *v, size_t n) {
    bool good = said_begin(arg, err);
    assert_true(good == (v != NULL));
    assert_int_equal(good ? 4 : 0, n);
    for (size_t i = 0; i < n; i++) {
        assert_true(v[i].verdict >= QUEUE_FULL && v[i].verdict <= QUEUE_MISMATCH);
        assert_true(v[i].verdict != QUEUE_FULL || uuid_is_nil(v[i].id));
        say(arg, "%d %.*s;", v[i].verdict, uuid_is_nil(v[i].id) ? 1 : 16, uuid_is_nil(v[i].id) ? "-" : (const char *)v[i].id.b);
    }
}

static inline void run_enter(const struct ctx *c) {
    const struct queue_item items[] = {
        {.header = STR("H1"), .payload = STR("P1"), .key_hash = STR("kkkkkkkkkkkkkkkk"), .body_hash = STR("oooooooooooooooo")},
        {.header = STR("H2"), .payload = STR(""), .due = {5}, .key_hash = STR_NONE, .body_hash = STR_NONE},
        {.header = STR("H3"), .payload = STR("P3")},
        {.header = STR("H4"), .payload = STR("P4")},
    };
    queue_enter(&c->fake->broker, c->shard, 1000, items, 4, on_enter_said, c->said);
}

static inline void run_claim(const struct ctx *c) {
    const struct shard *const shards[] = {c->shard, c->other};
    queue_claim(&c->fake->broker, shards, 2, STR("host:1:7"), 10, 2000, on_claim_said, c->said);
}

static inline void on_sweep_said(void *arg, struct err err, const struct claimed *e, size_t n, int64_t orphans) {
    on_claim_said(arg, err, e, n);
    if (!err_is_set(err)) {
        say(arg, " orphans %lld", (long long)orphans);
    }
}

static inline void run_sweep(const struct ctx *c) {
    queue_sweep(&c->fake->broker, c->shard, STR("host:1:7"), 10, 10000, on_sweep_said, c->said);
}

static inline void on_renew_said(void *arg, struct err err, const struct stream_id *lost, size_t lost_n,
                                 const struct stream_id *cancel, size_t cancel_n) {
    if (said_begin(arg, err)) {
        say_ids(arg, lost, lost_n);
        say_ids(arg, cancel, cancel_n);
    } else {
        assert_true(lost_n == 0 && cancel_n == 0);
    }
}

static inline void run_renew(const struct ctx *c) {
    const struct queue_held held[] = {{.id = {1, 2}, .job = job_of(JOB_A), .started = {1730406023291}},
                                      {.id = {UINT64_MAX, 0}, .job = job_of(JOB_B)}};
    queue_renew(&c->fake->broker, c->shard, STR("host:1:7"), held, 2, on_renew_said, c->said);
}

static const struct stream_id two_ids[] = {{1, 2}, {3, 4}};

static inline void on_lone_said(void *arg, struct err err, const struct claimed *e, int64_t crashes, struct str why) {
    on_claim_said(arg, err, e, e != NULL);
    if (!err_is_set(err)) {
        say(arg, " %lld %.*s", (long long)crashes, STR_ARG(why));
    }
}

static inline void run_lone(const struct ctx *c) {
    queue_lone(&c->fake->broker, c->shard, STR("host:1:7"), on_lone_said, c->said);
}

static inline void run_clear(const struct ctx *c) {
    const struct uuid jobs[] = {job_of(JOB_A), job_of(JOB_B)};
    queue_clear(&c->fake->broker, c->shard, jobs, 2, on_count_said, c->said);
}

static inline void run_hand_back(const struct ctx *c) {
    queue_hand_back(&c->fake->broker, c->shard, STR("host:1:7"), true, two_ids, 2, on_lost_said, c->said);
}

static inline void run_suspect(const struct ctx *c) {
    queue_suspect(&c->fake->broker, c->shard, STR("host:1:7"), STR("SIGSEGV"), two_ids, 2, on_lost_said, c->said);
}

static inline void on_pending_said(void *arg, struct err err, const struct queue_pending *pending, size_t n) {
    if (!said_begin(arg, err)) {
        assert_int_equal(0, n);
    }
    for (size_t i = 0; i < n; i++) {
        char room[STREAM_ID_BYTES];
        say(arg, "%.*s x%lld ", STR_ARG(stream_id_text(pending[i].id, room)), (long long)pending[i].deliveries);
    }
}

static inline void run_pending(const struct ctx *c) {
    queue_pending(&c->fake->broker, c->shard, STR("host:1:7"), (struct stream_id){1, 2}, on_pending_said, c->said);
}

static inline void on_cancels_said(void *arg, struct err err, const bool *wanted, size_t n) {
    assert_true(said_begin(arg, err) ? n == 0 || n == 2 : n == 0);
    for (size_t i = 0; i < n; i++) {
        say(arg, "%d", wanted[i]);
    }
}

static inline void run_cancels(const struct ctx *c) {
    const struct uuid jobs[] = {job_of(JOB_A), job_of(JOB_B)};
    queue_cancels(&c->fake->broker, c->shard, jobs, 2, on_cancels_said, c->said);
}

static inline void run_cancels_any(const struct ctx *c) {
    const struct shard *const shards[] = {c->shard, c->other};
    queue_cancels_any(&c->fake->broker, shards, 2, on_count_said, c->said);
}

static inline void on_done_said(void *arg, struct err err) {
    if (said_begin(arg, err)) {
        say(arg, "settled");
    }
}

static inline void run_settle(const struct ctx *c) {
    const struct queue_settled entries[] = {
        {.id = {1, 0}, .job = job_of(JOB_A), .how = SETTLE_EXPIRED},
        {.id = {2, 0}, .job = job_of(JOB_B), .how = SETTLE_JOURNAL, .in_running = true},
        {.id = {3, 0}, .job = job_of(JOB_A), .how = SETTLE_DONE, .in_running = true, .outcome = STR("{}")},
        {.id = {4, 0}, .job = job_of(JOB_B), .how = SETTLE_CANCELLED},
        {.id = {5, 0}, .job = job_of(JOB_B), .how = SETTLE_DONE},
    };
    queue_settle(&c->fake->broker, c->shard, entries, 5, on_done_said, c->said);
}

static inline void run_retry(const struct ctx *c) {
    const struct queue_retried entries[] = {{.id = {1, 2}, .delay_ms = 1500, .header = STR("H")},
                                            {.id = {3, 4}, .delay_ms = 0, .header = STR("I")}};
    queue_retry(&c->fake->broker, c->shard, STR("host:1:7"), entries, 2, on_lost_said, c->said);
}

static inline void run_bury(const struct ctx *c) {
    const struct queue_dead entries[] = {{.id = {1, 2}, .reason = STR("{}")}};
    queue_bury(&c->fake->broker, c->shard, STR("host:1:7"), entries, 1, on_lost_said, c->said);
}

static inline void run_park(const struct ctx *c) {
    queue_park(&c->fake->broker, c->shard, STR("host:1:7"), two_ids, 2, on_lost_said, c->said);
}

static inline void on_promote_said(void *arg, struct err err, int64_t moved, struct wall due, struct wall now) {
    if (said_begin(arg, err)) {
        say(arg, "%lld %lld %lld", (long long)moved, (long long)due.ms, (long long)now.ms);
    }
}

static inline void run_promote(const struct ctx *c) { queue_promote(&c->fake->broker, c->shard, 100, on_promote_said, c->said); }

static inline void on_cancel_said(void *arg, struct err err, bool removed) { on_count_said(arg, err, removed); }

static inline void run_cancel(const struct ctx *c) {
    struct uuid stream_class = job_of(JOB_A);
    queue_cancel(&c->fake->broker, c->shard, stream_class, STR("cancelled-409-{}"), on_cancel_said, c->said);
}

static inline void run_due_now(const struct ctx *c) {
    queue_due_now(&c->fake->broker, c->shard, job_of(JOB_A), on_count_said, c->said);
}

static inline void run_snooze(const struct ctx *c) {
    queue_snooze(&c->fake->broker, c->shard, job_of(JOB_A), (struct wall){1730406023291}, on_count_said, c->said);
}

static inline void run_collect(const struct ctx *c) {
    queue_collect(&c->fake->broker, c->shard, 3600000, on_count_said, c->said);
}
static inline void run_group(const struct ctx *c) { queue_group_create(&c->fake->broker, c->shard, on_count_said, c->said); }

static inline void run_epoch(const struct ctx *c) {
    queue_epoch_set(&c->fake->broker, c->shard, STR(""), STR("rebuilding 7"), on_count_said, c->said);
}

static inline void run_drop(const struct ctx *c) {
    const struct queue_dead_id ids[] = {{job_of(JOB_A), 0}, {job_of(JOB_B), 7}};
    queue_dead_drop(&c->fake->broker, c->shard, ids, 2, on_count_said, c->said);
}

static inline void on_depth_said(void *arg, struct err err, const struct queue_depth *d) {
    bool good = said_begin(arg, err);
    assert_true(good == (d != NULL));
    if (good) {
        assert_true(d->waiting >= 0 && d->running >= 0 && d->delayed >= 0 && d->parked >= 0 && d->dead >= 0);
        assert_true(d->handed_back >= 0 && d->handed_back <= d->waiting);
        assert_true(memchr(d->epoch, '\0', sizeof d->epoch) != NULL);
        say(arg, "w%lld r%lld d%lld p%lld dead%lld back%lld age%lld due%lld '%s' a%lld d%lld c%lld e%lld d%lld gap%lld",
            (long long)d->waiting, (long long)d->running, (long long)d->delayed, (long long)d->parked, (long long)d->dead,
            (long long)d->handed_back, (long long)d->oldest_age_ms, (long long)d->next_due.ms, d->epoch, (long long)d->accepted,
            (long long)d->done, (long long)d->cancelled, (long long)d->expired, (long long)d->died, (long long)d->gap);
    }
}

static inline void run_depth(const struct ctx *c) { queue_depth(&c->fake->broker, c->shard, on_depth_said, c->said); }

static inline void on_place_said(void *arg, const struct queue_place *p) {
    assert_true(p->where <= QUEUE_FOUND_DEAD && (p->outcome.n == 0 || p->where == QUEUE_FOUND_OUTCOME));
    say(arg, "%d %lld %.*s", p->where, (long long)p->when.ms, STR_ARG(p->outcome));
}

static inline void on_find_said(void *arg, struct err err, enum queue_found where, struct wall when, struct str outcome) {
    if (said_begin(arg, err)) {
        on_place_said(arg, &(struct queue_place){where, when, outcome});
    }
}

static inline void run_find(const struct ctx *c) { queue_find(&c->fake->broker, c->shard, job_of(JOB_A), on_find_said, c->said); }

static inline void on_places_said(void *arg, struct err err, const struct queue_place *places) {
    bool good = said_begin(arg, err);
    assert_true(good == (places != NULL));
    for (size_t i = 0; good && i < 2; i++) {
        on_place_said(arg, &places[i]);
    }
}

static inline void run_find_all(const struct ctx *c) {
    const struct uuid jobs[] = {job_of(JOB_A), job_of(JOB_B)};
    queue_find_all(&c->fake->broker, c->shard, jobs, 2, on_places_said, c->said);
}

static inline void on_walk_said(void *arg, struct err err, const struct uuid *jobs, size_t n, struct str next) {
    assert_true(said_begin(arg, err) || n == 0);
    for (size_t i = 0; i < n; i++) {
        say(arg, "%.16s ", (const char *)jobs[i].b);
    }
    say(arg, "next '%.*s'", STR_ARG(next));
}

static inline void run_walk(const struct ctx *c) {
    queue_walk(&c->fake->broker, c->shard, KEY_DELAYED, STR("17"), on_walk_said, c->said);
}

static inline void on_mend_said(void *arg, struct err err, int64_t mended, struct str next) {
    if (said_begin(arg, err)) {
        say(arg, "%lld next '%.*s'", (long long)mended, STR_ARG(next));
    }
}

static inline void run_mend(const struct ctx *c) { queue_mend(&c->fake->broker, c->shard, STR(""), on_mend_said, c->said); }

static inline void run_unpark(const struct ctx *c) {
    const struct queue_kind kinds[] = {{STR("demo.a"), 1}, {STR("demo.b"), 65535}};
    queue_unpark(&c->fake->broker, c->shard, STR("17"), kinds, 2, on_mend_said, c->said);
}

static inline void on_dead_said(void *arg, struct err err, const struct queue_dead_entry *e, size_t n) {
    assert_true(said_begin(arg, err) || n == 0);
    assert_true(n <= LIMIT_BATCH);
    for (size_t i = 0; i < n; i++) {
        say(arg, "%.16s r=%.*s h=%.*s p=%.*s;", (const char *)e[i].id.job.b, STR_ARG(e[i].reason), STR_ARG(e[i].header),
            STR_ARG(e[i].payload));
    }
}

static inline void run_peek(const struct ctx *c) { queue_dead_peek(&c->fake->broker, c->shard, on_dead_said, c->said); }

static const struct op {
    const char *name;
    void (*run)(const struct ctx *c);
    const char *sent, *reply, *said;
} ops[] = {
    {"add", run_add,
     "FCALL pen_add" V " 5 pen:{q:0}:s pen:{q:0}:d pen:{q:0}:dh pen:{q:0}:n pen:{q:0}:e 0 H1 P1 1730406023291 H2 P2", "'8471'",
     "8471"},
    {"enter", run_enter,
     "FCALL pen_enqueue" V " 6 pen:{q:0}:s pen:{q:0}:d pen:{q:0}:dh pen:{q:0}:n pen:{q:0}:i:0 pen:{q:0}:i:1 1000 "
     "kkkkkkkkkkkkkkkk oooooooooooooooo 0 H1 P1   5 H2    0 H3 P3   0 H4 P4",
     "[:1 '" JOB_A "' :0 '" JOB_B "' :2 '" JOB_B "' :-1 '']", "1 " JOB_A ";0 " JOB_B ";2 " JOB_B ";-1 -;"},
    {"claim", run_claim, "XREADGROUP GROUP g host:1:7 COUNT 10 BLOCK 2000 STREAMS pen:{q:0}:s pen:{q:1}:s > >",
     "[['pen:{q:1}:s' [['1-2' ['h' 'H' 'p' 'P']] ['1-3' ['h' 'I' 'p' '']]]] ['pen:{q:0}:s' [['9-0' ['h' 'J' 'p' 'Q']]]]]",
     "1/1-2 h=H p=P;1/1-3 h=I p=;0/9-0 h=J p=Q;"},
    {"sweep", run_sweep, "FCALL pen_sweep" V " 3 pen:{q:0}:s pen:{q:0}:l pen:{q:0}:c host:1:7 10 10000",
     "[[['1-2' ['h' 'H' 'p' 'P']]] :3]", "0/1-2 h=H p=P; orphans 3"},
    {"renew", run_renew,
     "FCALL pen_renew" V " 5 pen:{q:0}:s pen:{q:0}:r pen:{q:0}:x:0 pen:{q:0}:x:1 pen:{q:0}:l host:1:7 1-2 " JOB_A
     " 1730406023291 18446744073709551615-0 " JOB_B " 0",
     "[['1-2'] ['18446744073709551615-0']]", "[ 1-2 ][ 18446744073709551615-0 ]"},
    {"hand_back", run_hand_back, "FCALL pen_hand_back" V " 1 pen:{q:0}:s q host:1:7 1 1-2 3-4", "['3-4']", "[ 3-4 ]"},
    {"suspect", run_suspect, "FCALL pen_suspect" V " 2 pen:{q:0}:s pen:{q:0}:c host:1:7 SIGSEGV 1-2 3-4", "['3-4']", "[ 3-4 ]"},
    {"lone", run_lone, "FCALL pen_lone" V " 2 pen:{q:0}:s pen:{q:0}:c host:1:7", "[[['1-2' ['h' 'H' 'p' 'P']]] :2 'SIGSEGV']",
     "0/1-2 h=H p=P; 2 SIGSEGV"},
    {"clear", run_clear, "HDEL pen:{q:0}:c " JOB_A " " JOB_B, ":1", "1"},
    {"pending", run_pending, "XPENDING pen:{q:0}:s g (1-2 + 64 host:1:7", "[['5-0' 'host:1:7' :17 :1] ['6-1' 'host:1:7' :0 :2]]",
     "5-0 x1 6-1 x2 "},
    {"cancels_any", run_cancels_any, "EXISTS pen:{q:0}:x:0 pen:{q:0}:x:1 pen:{q:1}:x:0 pen:{q:1}:x:1", ":1", "1"},
    {"cancels", run_cancels, "FCALL_RO pen_cancels" V " 2 pen:{q:0}:x:0 pen:{q:0}:x:1 " JOB_A " " JOB_B, "[:0 :1]", "01"},
    {"settle", run_settle,
     "FCALL pen_settle" V
     " 5 pen:{q:0}:s pen:{q:0}:r pen:{q:0}:n pen:{q:0}:o:0 pen:{q:0}:o:1 1 2 1 1 2 2-0 3-0 5-0 4-0 1-0 " JOB_B " " JOB_A " " JOB_A
     " {}",
     ":1", "settled"},
    {"retry", run_retry,
     "FCALL pen_retry" V " 5 pen:{q:0}:s pen:{q:0}:d pen:{q:0}:dh pen:{q:0}:r pen:{q:0}:n host:1:7 1-2 1500 H 3-4 0 I", "[]",
     "[ ]"},
    {"bury", run_bury, "FCALL pen_dead" V " 4 pen:{q:0}:s pen:{q:0}:dead pen:{q:0}:r pen:{q:0}:n host:1:7 1-2 {}", "['1-2']",
     "[ 1-2 ]"},
    {"park", run_park, "FCALL pen_park" V " 4 pen:{q:0}:s pen:{q:0}:p pen:{q:0}:r pen:{q:0}:n host:1:7 1-2 3-4", "[]", "[ ]"},
    {"promote", run_promote, "FCALL pen_promote" V " 3 pen:{q:0}:s pen:{q:0}:d pen:{q:0}:dh 100",
     "[:2 :1730406023291 :1730406000000]", "2 1730406023291 1730406000000"},
    {"cancel", run_cancel,
     "FCALL pen_cancel" V
     " 8 pen:{q:0}:d pen:{q:0}:dh pen:{q:0}:p pen:{q:0}:x:0 pen:{q:0}:x:1 pen:{q:0}:n pen:{q:0}:o:0 pen:{q:0}:o:1 " JOB_A
     " 1 cancelled-409-{}",
     ":1", "1"},
    {"due_now", run_due_now, "FCALL pen_due_now" V " 1 pen:{q:0}:d " JOB_A, ":0", "0"},
    {"snooze", run_snooze, "FCALL pen_snooze" V " 1 pen:{q:0}:d " JOB_A " 1730406023291", ":1", "1"},
    {"unpark", run_unpark, "FCALL pen_unpark" V " 2 pen:{q:0}:s pen:{q:0}:p 17 200 2 demo.a 1 demo.b 65535", "['9' :3]",
     "3 next '9'"},
    {"collect", run_collect, "FCALL pen_collect" V " 1 pen:{q:0}:s 3600000", ":7", "7"},
    {"group", run_group, "FCALL pen_group" V " 1 pen:{q:0}:s", ":1", "1"},
    {"epoch", run_epoch,
     "FCALL pen_epoch" V " 6 pen:{q:0}:e pen:{q:0}:n pen:{q:0}:s pen:{q:0}:d pen:{q:0}:p pen:{q:0}:r  rebuilding\\207", ":1",
     "1"},
    {"drop", run_drop, "FCALL pen_drop" V " 1 pen:{q:0}:dead " JOB_A " 0 " JOB_B " 7", ":2", "2"},
    {"depth", run_depth, "FCALL_RO pen_depth" V " 6 pen:{q:0}:s pen:{q:0}:d pen:{q:0}:p pen:{q:0}:dead pen:{q:0}:n pen:{q:0}:e",
     "[:10 :4 :1 :3 :2 :5 :1730406023291 :1730406029999 :1730406023791 'ready abc 8471' ['base' '6' 'accepted' '30' 'jin' '4' 'jout' '3' 'done' "
     "'9' 'cancelled' '2' 'expired' '1' 'dead' '8' 'merged' '1' 'later' 'x']]",
     "w7 r3 d3 p2 dead5 back1 age500 due1730406029999 'ready abc 8471' a30 d9 c2 e1 d8 gap1"},
    {"find", run_find,
     "FCALL_RO pen_find" V " 6 pen:{q:0}:o:0 pen:{q:0}:o:1 pen:{q:0}:r pen:{q:0}:d pen:{q:0}:p pen:{q:0}:dead " JOB_A,
     "[:1 :0 '{\"ok\":1}']", "1 0 {\"ok\":1}"},
    {"find_all", run_find_all,
     "FCALL_RO pen_find" V " 6 pen:{q:0}:o:0 pen:{q:0}:o:1 pen:{q:0}:r pen:{q:0}:d pen:{q:0}:p pen:{q:0}:dead " JOB_A " " JOB_B,
     "[:1 :0 'x' :2 :17 '']", "1 0 x2 17 "},
    {"walk", run_walk, "FCALL_RO pen_walk" V " 1 pen:{q:0}:d 17 64", "['99' '" JOB_A "' '" JOB_B "']",
     JOB_A " " JOB_B " next '99'"},
    {"mend", run_mend, "FCALL pen_mend" V " 1 pen:{q:0}:s  64", "['(1-2' :5]", "5 next '(1-2'"},
    {"peek", run_peek, "HRANDFIELD pen:{q:0}:dead 64 WITHVALUES",
     "['" JOB_A "' '\x03\x01"
     "abc']",
     JOB_A " r= h= p=\x03\x01"
           "abc;"},
};
enum { OPS = sizeof ops / sizeof ops[0] };

#endif
