/* The judge: what must be so at every moment, and when all is quiet. It reads Redis, the store and the book, and asks nobody. */
#include "cluster.h"

#include "store.h"

#include <queues/quarantine.h>

/* A torn step leaves counters that its epoch pass makes right. */
static bool torn[SIM_SHARDS_MAX];
static bool has_fallen, has_lost; /* lost: something, with a fall */
static size_t tears;              /* each may leave one home without a due time: nobody looks for it, and the job is elsewhere */

static const char *name_of(const struct sim_job *j) {
    static char text[UUID_TEXT_BYTES];
    uuid_text(j->id, text);
    return text;
}

static size_t lost_n(void) {
    size_t n = 0;
    for (const struct sim_job *j = book_jobs(); j != NULL; j = j->hh.next) {
        n += j->lost && j->stream_class;
    }
    return n;
}

static size_t lost_before;
static bool was_checked;
static bool is_checked(unsigned i);

void check_falling(void) {
    lost_before = lost_n();
    was_checked = true;
    for (unsigned i = 0; i < book_shards(); i++) {
        was_checked = was_checked && is_checked(i);
    }
}

void check_fallen(struct mini_loss loss) {
    has_fallen = true;
    has_lost = has_lost || loss.any;
    tears += loss.torn;
    for (unsigned i = 0; i < SIM_SHARDS_MAX; i++) {
        torn[i] = torn[i] || loss.torn || (loss.any && tears > 0); /* or back where it was not made right yet */
    }
    if (!loss.any && lost_n() > lost_before) {
        broken("a Redis that was only killed lost jobs");
    }
    if (loss.any && loss.killed && was_checked) {
        broken("a Redis that was only killed lost what came behind a torn step: its log was not rewritten");
    }
}

/* ---- leases ---- */

enum { LEASE_MS = 10000 };
static struct { struct str step, consumer; /* of the call that Redis runs */ } now;

static bool late; /* somebody who had died took an entry from quarantine */

void check_call(size_t argc, const struct str *argv, bool gone) {
    int64_t keys = 0;
    bool function = argc > 4 && str_is(argv[0], "FCALL") && str_to_i64(argv[2], &keys);
    size_t first = (size_t)keys + (function && str_starts(argv[1], STR("pen_hand_back_")) ? 4 : 3);
    now.step = function ? argv[1] : argv[0];
    now.consumer = function && first < argc ? argv[first] : STR("");
    late |= gone && str_starts(now.step, STR("pen_lone_"));
}

/* A lease ends by its holder, by a settle, or by its time; what was handed back, or to quarantine, and the id of a deleted entry, are
 * anybody's. */
void check_taken(void *self, struct str stream, struct str holder, int64_t idle_ms, struct stream_id id) {
    (void)self;
    bool is_free = str_is(holder, "handback") || (str_is(holder, CONSUMER_QUARANTINE) && str_starts(now.step, STR("pen_lone_")));
    if (!str_eq(holder, now.consumer) && !str_starts(now.step, STR("pen_settle_")) && !is_free && idle_ms < LEASE_MS &&
        !(str_starts(now.step, STR("pen_sweep_")) && !mini_has_entry(redis_world(), stream, id))) {
        broken("%.*s by %.*s takes %llu-%llu from %.*s, who renewed it %lld ms ago", STR_ARG(now.step), STR_ARG(now.consumer),
               (unsigned long long)id.ms, (unsigned long long)id.seq, STR_ARG(holder), (long long)idle_ms);
    }
}

/* ---- counts and homes ---- */

/* base + jin + accepted − jout − done − cancelled − expired − dead − merged = what is there */
static void check_counts(unsigned i) {
    static const struct {
        struct str field;
        int sign;
    } counters[] = {{STR("base"), 1},       {STR("jin"), 1},      {STR("accepted"), 1}, {STR("jout"), -1},  {STR("done"), -1},
                    {STR("cancelled"), -1}, {STR("expired"), -1}, {STR("dead"), -1},    {STR("merged"), -1}};
    struct mini *m = redis_world();
    const struct shard *s = book_shard(i);
    int64_t want = 0;
    for (size_t c = 0; c < sizeof counters / sizeof counters[0]; c++) {
        want += counters[c].sign * mini_field_int(m, s->key[KEY_COUNTERS], counters[c].field);
    }
    int64_t there =
        (int64_t)(mini_size(m, s->key[KEY_STREAM]) + mini_size(m, s->key[KEY_DELAYED]) + mini_size(m, s->key[KEY_PARKED]));
    if (want != there) {
        broken("shard %u: the counters say %lld jobs, there are %lld", i, (long long)want, (long long)there);
    }
}

/* Even when torn: who has a due time has a home. */
static void check_homes(unsigned i) {
    const struct shard *s = book_shard(i);
    size_t delayed = mini_size(redis_world(), s->key[KEY_DELAYED]), homes = mini_size(redis_world(), s->key[KEY_DELAYED_HOME]);
    if (delayed > homes || homes - delayed > tears) {
        broken("shard %u: %zu jobs are delayed, %zu have a home there", i, delayed, homes);
    }
}

static bool is_checked(unsigned i) {
    struct str e = mini_string(redis_world(), book_shard(i)->key[KEY_EPOCH]);
    struct str id = str_c(mini_run_id(redis_world()));
    return e.n > 6 + id.n && memcmp(e.p, "ready ", 6) == 0 && memcmp(e.p + 6, id.p, id.n) == 0;
}

void check_step(void) {
    for (unsigned i = 0; i < book_shards(); i++) {
        torn[i] = torn[i] && !is_checked(i);
        if (!torn[i]) {
            check_counts(i);
        }
        check_homes(i);
    }
}

const char *check_unrest(void) {
    static const enum shard_key homes[] = {KEY_STREAM, KEY_DELAYED, KEY_PARKED, KEY_DEAD};
    static const char *const names[] = {"entries", "delayed jobs", "parked jobs", "dead jobs"};
    for (unsigned i = 0; i < book_shards(); i++) {
        const struct shard *s = book_shard(i);
        for (size_t h = 0; h < sizeof homes / sizeof homes[0]; h++) {
            if (mini_size(redis_world(), s->key[homes[h]]) > 0) {
                return names[h];
            }
        }
        if (!is_checked(i)) {
            return "no epoch";
        }
        if (mini_pending(redis_world(), s->key[KEY_STREAM]) > 0) {
            return "leases";
        }
    }
    return book_runs()             ? "attempts under way"
           : !store_is_quiet()     ? "open rows"
           : !producers_are_done() ? "unanswered requests"
                                   : NULL;
}

bool check_quiet(void) { return check_unrest() == NULL; }

/* ---- at the end ---- */

/* It is known how each process died. */
static bool is_watched(void) { return world.steady && !late && !cluster_looked_away(); }

/* Dead by three lone crashes: they were. Where it is not known how a process died, a lone run may be held against its job. */
static bool may_have_crashed(const struct sim_job *j) {
    return is_watched() ? j->lone_crashes >= LONE_CRASHES : j->lone_runs > 0;
}

/* The first crash is on behalf of it. Who stood still with it may wake, and run it after all. */
static void check_crashes(const struct sim_job *j) {
    if (is_watched() && !cluster_stood_still() && j->stream_class && j->crashed > (1 + LONE_CRASHES) * (1 + j->replays)) {
        broken("job %s ended %u processes", name_of(j), j->crashed);
    }
}

/* May a job of that kind end so? */
static bool may_be(const struct sim_job *j, int state) {
    switch (state) {
    case OUTCOME_CANCELLED:
        return j->cancel_wanted;
    case OUTCOME_EXPIRED:
        return j->kind == KIND_EXPIRES;
    case OUTCOME_DEAD:
        return j->kind == KIND_FATAL || may_have_crashed(j);
    default:
        return !j->cancelled;
    }
}

static void check_row(const struct sim_job *j, const struct row *r) {
    const struct effect *e = store_effect(j->id);
    const char *state = job_outcome_name((enum job_outcome)r->state);
    if (e == NULL) {
        broken("job %s is %s without an effect", name_of(j), state);
    } else if ((int)e->outcome != r->state || e->generation != r->generation) {
        broken("job %s is %s in generation %lld, its effect says %s in %lld", name_of(j), state, (long long)r->generation,
               job_outcome_name(e->outcome), (long long)e->generation);
    } else if (j->notes != (r->state == OUTCOME_DONE)) {
        broken("job %s is %s and its effect was made %u times", name_of(j), state, j->notes);
    } else if (!may_be(j, r->state)) {
        broken("job %s of kind %d is %s", name_of(j), (int)j->kind, state);
    }
}

static void check_journal_job(const struct sim_job *j) {
    const struct row *r = store_row(j->id);
    if (r != NULL) {
        check_row(j, r);
    } else if (j->acked) {
        broken("job %s was acknowledged and has no row", name_of(j));
    }
}

/* How it ended, as far as its outcome was kept. */
static bool has_outcome(const struct sim_job *j, const char *word) {
    const struct shard *s = book_shard(id_job_place(j->id).shard);
    const struct str id = str_of(j->id.b, sizeof j->id.b);
    return str_starts(mini_field(redis_world(), s->key[KEY_OUTCOME_0], id), str_c(word)) ||
           str_starts(mini_field(redis_world(), s->key[KEY_OUTCOME_1], id), str_c(word));
}

static bool has_ended(const struct sim_job *j) {
    const struct dead_row *d = store_dead(j->id);
    if (j->tallies > 0 || (d != NULL && !d->replayed)) {
        return true;
    }
    /* The outcome that was kept may be lost with a Redis that fell. */
    if (j->replayed && has_lost) {
        return true; /* the second life was lost, and the first came back: its death is known already */
    }
    bool cancelled = j->cancel_wanted && (has_fallen || j->cancelled || has_outcome(j, "cancelled"));
    return cancelled || (j->kind == KIND_EXPIRES && (has_fallen || has_outcome(j, "expired")));
}

/* Of the requests with one key only the first made a job. */
static void check_key(const struct sim_job *j) {
    for (const struct sim_job *k = j->hh.next; k != NULL && j->key != NULL && !has_lost; k = k->hh.next) {
        if (k->key == j->key && j->tallies > 0 && k->tallies > 0) {
            broken("%s made two jobs", j->key->text);
        }
    }
}

static void check_stream_job(const struct sim_job *j) {
    check_key(j);
    if (j->acked && !has_ended(j) && !j->lost) {
        broken("job %s was acknowledged and never ended", name_of(j));
    }
    if (store_dead(j->id) != NULL && !may_be(j, OUTCOME_DEAD)) {
        broken("job %s of kind %d is dead", name_of(j), (int)j->kind);
    }
    if (world.fine && j->tallies > 1) {
        broken("job %s ran %u times on a fine day", name_of(j), j->tallies);
    }
}

/* Running jobs are listed until they end. */
static void on_listed(void *arg, struct str field, struct str value) {
    char text[UUID_TEXT_BYTES];
    struct uuid id;
    (void)arg;
    (void)value;
    memcpy(id.b, field.p, sizeof id.b);
    uuid_text(id, text);
    broken("job %s is said to run", text);
}

/* Suspects are until they end. Who only stood still may end a job that is in quarantine by now: that mark goes by itself. */
static void on_suspected(void *arg, struct str field, struct str value) {
    (void)arg;
    (void)field;
    broken("a job that has ended is suspected of %.*s", STR_ARG(value));
}

static void check_left_over(unsigned i) {
    mini_each_field(redis_world(), book_shard(i)->key[KEY_RUNNING], on_listed, NULL);
    if (is_watched() && !cluster_stood_still()) {
        mini_each_field(redis_world(), book_shard(i)->key[KEY_CRASHES], on_suspected, NULL);
    }
}

void check_end(void) {
    for (unsigned i = 0; i < book_shards(); i++) {
        check_left_over(i);
    }
    for (const struct sim_job *j = book_jobs(); j != NULL; j = j->hh.next) {
        check_crashes(j);
        if (j->stream_class) {
            check_stream_job(j);
        } else {
            check_journal_job(j);
        }
    }
}

void check_begin(void) {
    memset(torn, 0, sizeof torn);
    has_fallen = has_lost = late = false;
    tears = 0;
}
