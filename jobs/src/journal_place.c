/* Placing committed jobs in Redis and marking their rows with the epoch that has seen them. */
#include <jobs/journal.h>

#include "journal_rows.h"

#include <base/fault.h>
#include <jobs/sending.h>
#include <queues/enqueue.h>
#include <queues/envelope.h>
#include <queues/version.h>
#include <stdlib.h>

/* One call of journal_place: as many groups as shards are touched. Freed with its last answer. */
struct place {
    const struct journal *journal;
    journal_cb *cb;
    void *arg;
    enum journal_until until;
    struct err err;
    size_t waiting; /* groups without an answer, and one for the call itself */
};

struct group {
    struct place *place; /* NULL: nobody waits any more */
    size_t n;
    struct journal_mark marks[LIMIT_BATCH];
    struct trace traces[LIMIT_BATCH];
    struct mono began;
};

static void note(struct place *p, enum err_code code) {
    if (p->err.code == ERR_NONE) {
        p->err = (struct err){code, "placing in Redis or marking failed; the relay will do it"};
    }
}

static void place_answered(struct place *p, struct err err) {
    if (err_is_set(err)) {
        note(p, err.code);
    }
    if (--p->waiting == 0) {
        p->cb(p->arg, p->err);
        free(p);
    }
}

static void on_marked(void *arg, struct err err, const PGresult *res) {
    (void)res;
    struct group *g = arg;
    struct place *p = g->place;
    free(g);
    FAILPOINT(PLACE_AFTER_MARK);
    if (p != NULL) {
        place_answered(p, err);
    } /* else what is not marked is added again by the relay, and its second copy absorbed */
}

static void record(const struct group *g, struct err err) {
    const struct trace *of[LIMIT_BATCH];
    if (!span_is_on()) {
        return;
    }
    for (size_t i = 0; i < g->n; i++) {
        of[i] = &g->traces[i];
    }
    sending_record_call(FUNCTION_NAME("add"), of, g->n, g->began, err);
}

static void on_added(void *arg, struct err err, int64_t epoch) {
    struct group *g = arg;
    struct place *p = g->place;
    record(g, err);
    if (err_is_set(err) || epoch == 0) { /* without an epoch there is nothing to mark with */
        free(g);
        place_answered(p, err_is_set(err) ? err : err_make(ERR_BUSY, "no epoch"));
        return;
    }
    FAILPOINT(PLACE_AFTER_ENQUEUE);
    const struct journal *j = p->journal;
    if (p->until == JOURNAL_PLACED) {
        g->place = NULL;
        place_answered(p, OK);
    }
    journal_mark(j->platform, epoch, g->marks, g->n, on_marked, g);
}

static struct envelope envelope_of(const struct journal_job *j) {
    return (struct envelope){
        .schema_version = j->type_version,
        .unchecked = j->unchecked,
        .id = j->id,
        .root = j->root,
        .generation = j->generation,
        .deadline = j->deadline,
        .trace = j->trace,
        .tenant = j->tenant,
        .type = j->type,
    };
}

/* Sends the jobs of one shard, those from first on that are not taken yet. */
static void send_group(struct place *p, const struct shard *s, const struct journal_job *jobs, size_t n, bool *taken,
                       size_t first) {
    struct queue_item items[LIMIT_BATCH];
    uint8_t headers[ENVELOPE_BATCH_BYTES], *header = headers;
    struct group *g = malloc(sizeof *g);
    if (g == NULL) {
        p->waiting++;
        taken[first] = true;
        place_answered(p, err_make(ERR_NOMEM, "journal"));
        return;
    }
    *g = (struct group){.place = p};
    for (size_t i = first; i < n; i++) {
        bool here = !taken[i] && str_is(jobs[i].queue, s->queue) && id_job_place(jobs[i].id).shard == s->number;
        if (!here) {
            continue;
        }
        taken[i] = true;
        struct envelope e = envelope_of(&jobs[i]);
        size_t bytes = envelope_encode(&e, header);
        if (bytes == 0) { /* a row that nobody of ours wrote: it must not hold up the others */
            note(p, ERR_INVALID);
            continue;
        }
        items[g->n] = (struct queue_item){.header = str_of(header, bytes), .payload = jobs[i].payload, .due = jobs[i].due};
        header += bytes;
        g->traces[g->n] = jobs[i].trace;
        g->marks[g->n++] = (struct journal_mark){jobs[i].id, jobs[i].generation};
    }
    p->waiting++;
    if (g->n == 0) {
        free(g);
        place_answered(p, OK);
        return;
    }
    g->began = clock_mono(&clock_system);
    queue_add(p->journal->redis, s, items, g->n, on_added, g);
}

void journal_place(const struct journal *j, const struct journal_job *jobs, size_t n, enum journal_until until, journal_cb *cb,
                   void *arg) {
    bool taken[LIMIT_BATCH] = {false};
    struct place *p = malloc(sizeof *p);
    if (p == NULL) {
        cb(arg, err_make(ERR_NOMEM, "journal"));
        return;
    }
    *p = (struct place){.journal = j, .cb = cb, .arg = arg, .until = until, .waiting = 1};
    for (size_t i = 0; i < n && i < LIMIT_BATCH; i++) {
        const struct queue_info *q = queue_table_find(j->queues, jobs[i].queue);
        unsigned shard = id_job_place(jobs[i].id).shard;
        if (taken[i]) {
            continue;
        }
        if (q == NULL || shard >= q->shards_n) {
            taken[i] = true;
            note(p, ERR_BUSY); /* a queue made a moment ago: the relay comes by when the table has it */
            continue;
        }
        send_group(p, q->shards[shard], jobs, n, taken, i);
    }
    place_answered(p, OK);
}
