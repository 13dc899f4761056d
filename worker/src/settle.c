/* What leaves for Redis: each kind of ending has its list; a flush sends each list, per shard and in batches. A batch that Redis did
 * not take waits for the next beat and is sent again: the entries stay ours, or their lease ends and the fence says so. */
#include "process.h"
#include "record.h"

#include <base/fault.h>
#include <base/metrics.h>
#include <stdlib.h>

struct settling {
    struct process *process;
    enum held_next next;
    struct mono began;
    size_t n;
    struct held *held[LIMIT_BATCH];
};

void settle_add(struct held *h) {
    struct process *p = h->process;
    TAILQ_INSERT_TAIL(&p->outgoing[h->next], h, link);
    p->outgoing_n++;
    process_wake(p);
}

static bool is_lost(const struct held *h, const struct stream_id *lost, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (stream_id_eq(h->id, lost[i])) {
            return true;
        }
    }
    return false;
}

static void answered(struct settling *s, struct err err, const struct stream_id *lost, size_t lost_n) {
    struct process *p = s->process;
    bool refused = err_class(err.code) == ERR_CLASS_INFRA && err.code != ERR_CLOSED;
    record_settle(p, s->held, s->n, s->began, err);
    for (size_t i = 0; i < s->n; i++) {
        struct held *h = s->held[i];
        if (refused) { /* not at once: that would be a circle */
            TAILQ_INSERT_TAIL(&p->refused[s->next], h, link);
            continue;
        }
        if (is_lost(h, lost, lost_n)) {
            kind_attempt(h->kind, LABEL_LOST);
        }
        p->outgoing_n--;
        held_release(h);
    }
    free(s);
    if (!refused) {
        process_wake(p);
    }
}

void settle_again(struct process *p) {
    for (int next = 0; next < NEXT_MAX; next++) {
        TAILQ_CONCAT(&p->outgoing[next], &p->refused[next], link);
    }
    process_wake(p);
}

static void on_settled(void *arg, struct err err) {
    if (!err_is_set(err)) {
        FAILPOINT(SETTLE_AFTER);
    }
    answered(arg, err, NULL, 0);
}

static void on_moved(void *arg, struct err err, const struct stream_id *lost, size_t n) {
    if (!err_is_set(err)) {
        FAILPOINT(RETRY_AFTER);
    }
    answered(arg, err, lost, n);
}

static struct str kept_outcome(struct held *h) {
    bool keeps = h->attempt.type != NULL && h->attempt.type->keep_outcome && h->how != SETTLE_JOURNAL;
    if (keeps && h->outcome_out.p == NULL) {
        h->outcome_out = arena_printf(&h->arena, "%s %d %.*s", job_outcome_name(h->outcome), h->status, STR_ARG(h->result));
    }
    return h->outcome_out;
}

/* Without memory the entry goes as it was, uncharged. */
static struct str retry_header(struct held *h) {
    if (h->header_out.p == NULL) {
        uint8_t *header = arena_alloc(&h->arena, ENVELOPE_MAX_BYTES);
        size_t bytes = header != NULL ? envelope_encode(&h->attempt.job, header) : 0;
        h->header_out = bytes > 0 ? str_of(header, bytes) : h->header;
    }
    return h->header_out;
}

static void send_settle(struct settling *s, const struct shard *shard) {
    struct queue_settled entries[LIMIT_BATCH];
    for (size_t i = 0; i < s->n; i++) {
        struct held *h = s->held[i];
        entries[i] = (struct queue_settled){
            .id = h->id, .job = h->attempt.job.id, .how = h->how, .in_running = h->listed, .outcome = kept_outcome(h)};
    }
    queue_settle(&s->process->rt->redis, shard, entries, s->n, on_settled, s);
}

static void send_retry(struct settling *s, const struct shard *shard) {
    struct queue_retried entries[LIMIT_BATCH];
    for (size_t i = 0; i < s->n; i++) {
        struct held *h = s->held[i];
        entries[i] = (struct queue_retried){.id = h->id, .delay_ms = h->delay_ms, .header = retry_header(h)};
    }
    FAILPOINT(RETRY_BEFORE);
    queue_retry(&s->process->rt->redis, shard, str_c(s->process->consumer), entries, s->n, on_moved, s);
}

static void send_bury(struct settling *s, const struct shard *shard) {
    struct queue_dead entries[LIMIT_BATCH];
    for (size_t i = 0; i < s->n; i++) {
        entries[i] = (struct queue_dead){.id = s->held[i]->id, .reason = s->held[i]->reason};
    }
    queue_bury(&s->process->rt->redis, shard, str_c(s->process->consumer), entries, s->n, on_moved, s);
}

static void send_ids(struct settling *s, const struct shard *shard) {
    struct stream_id ids[LIMIT_BATCH];
    for (size_t i = 0; i < s->n; i++) {
        ids[i] = s->held[i]->id;
    }
    const struct broker *b = &s->process->rt->redis;
    struct str consumer = str_c(s->process->consumer);
    if (s->next == NEXT_PARK) {
        queue_park(b, shard, consumer, ids, s->n, on_moved, s);
    } else if (s->next == NEXT_SUSPECT) {
        queue_suspect(b, shard, consumer, STR("out of memory"), ids, s->n, on_moved, s);
    } else {
        lease_hand_back(s->process, shard, ids, s->n, on_moved, s);
    }
}

/* Takes the first entry's shard and everything of it, up to a batch, off the list. */
static struct settling *take_batch(struct process *p, enum held_next next, const struct shard **out_shard) {
    struct held_list *list = &p->outgoing[next];
    struct settling *s = malloc(sizeof *s);
    if (s == NULL) {
        return NULL; /* the beat flushes again */
    }
    *s = (struct settling){.process = p, .next = next, .began = loop_now(p->rt->loop)};
    *out_shard = TAILQ_FIRST(list)->shard;
    struct held *h, *after;
    for (h = TAILQ_FIRST(list); h != NULL && s->n < LIMIT_BATCH; h = after) {
        after = TAILQ_NEXT(h, link);
        if (h->shard == *out_shard) {
            TAILQ_REMOVE(list, h, link);
            s->held[s->n++] = h;
        }
    }
    return s;
}

void settle_flush(struct process *p) {
    static void (*const send[NEXT_MAX])(struct settling *, const struct shard *) = {
        [NEXT_SETTLE] = send_settle, [NEXT_RETRY] = send_retry,   [NEXT_BURY] = send_bury,
        [NEXT_PARK] = send_ids,      [NEXT_HAND_BACK] = send_ids, [NEXT_SUSPECT] = send_ids,
    };
    if (!redis_is_up(p->rt->redis_connection)) {
        return; /* when it is up again */
    }
    for (int next = 0; next < NEXT_MAX; next++) {
        while (!TAILQ_EMPTY(&p->outgoing[next]) && redis_is_up(p->rt->redis_connection)) {
            const struct shard *shard;
            struct settling *s = take_batch(p, (enum held_next)next, &shard);
            if (s == NULL) {
                return;
            }
            if (next != NEXT_HAND_BACK && next != NEXT_SUSPECT) {
                lone_clear(p, shard, s->held, s->n);
            }
            send[next](s, shard);
        }
    }
}
