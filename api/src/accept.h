/* Acceptance: from a checked request to a job that is kept, once per key.
 *
 * Journal class (accept.c): the job's row and its key are committed in Postgres, then the job is placed in Redis. Everything that
 * arrived while the statement before was under way goes in one statement. When that fails, a key that somebody else holds included,
 * each of its rows is tried alone, beside the statements of those who came later.
 * Stream class (enter.c): the entry in Redis is the job; one Function call per shard and turn. */
#ifndef API_ACCEPT_H
#define API_ACCEPT_H

#include <base/crypto.h>
#include <jobs/journal.h>
#include <sys/queue.h>

#include "job_row.h"

struct accept;
struct api;
struct call;
struct enter;

enum acceptance_verdict {
    ACCEPTED_FRESH,    /* the job is this request's */
    ACCEPTED_KNOWN,    /* the key found an earlier job: row, and known_id */
    ACCEPTED_MISMATCH, /* the key found an earlier job of another request */
    ACCEPTED_FULL,     /* stream class: the shard takes no more */
    ACCEPTED_FAILED,   /* err; whether the job was kept is not known after ERR_PG_LOST, ERR_REDIS_LOST */
};

struct acceptance {
    STAILQ_ENTRY(acceptance) link;
    /* The request; what it points to lives as long as the call. */
    struct call *call; /* held until nothing refers to the acceptance any more */
    const struct job_type *type;
    const struct queue_info *queue;
    struct str payload;
    struct str key;                     /* p NULL: none */
    struct str callback;                /* where its end is told, journal class; p NULL: nowhere */
    uint8_t fingerprint[SHA256_BYTES];  /* of method, path and raw body */
    struct wall due, deadline;          /* 0: none */
    void (*done)(struct acceptance *a); /* once; a KNOWN's row is borrowed for it */
    /* Made by acceptance_prepare. */
    struct uuid id;
    struct trace trace;
    double estimate_s;
    uint8_t key_hash[SHA256_BYTES]; /* stream class */
    struct mono began, give_up;
    bool told;  /* done ran */
    bool alone; /* its shared statement failed */
    unsigned races;
    /* The answer. */
    enum acceptance_verdict verdict;
    struct err err;
    struct uuid known_id;
    struct job_row row;
    double known_estimate_s;
};
STAILQ_HEAD(acceptance_list, acceptance);

/* Gives the job its id, trace and estimate. Fails only when out of memory. */
MUST struct err acceptance_prepare(struct acceptance *a);
/* Takes a prepared acceptance; done never runs before this returns. */
void acceptance_start(struct acceptance *a);
void acceptance_tell(struct acceptance *a, enum acceptance_verdict verdict, struct err err);

MUST struct err accept_new(struct api *api, struct accept **out);
void accept_stop(struct accept *s); /* while the loop is there; NULL is fine */
void accept_free(struct accept *s); /* when nothing calls back any more */
void accept_add(struct accept *s, struct acceptance *a);
bool accept_is_full(const struct accept *s, int pct); /* so much of what may wait does: refuse before adding */
/* Postgres is there, perhaps, and yet takes no jobs: it refused the last of them some seconds ago at most, or does not answer. */
bool accept_is_refused(const struct accept *s);
void accept_probe(struct accept *s); /* once a second, so that this is known before somebody pays for it */

MUST struct err enter_new(struct api *api, struct enter **out);
void enter_stop(struct enter *s);
void enter_free(struct enter *s);
void enter_add(struct enter *s, struct acceptance *a);

/* The parameters of the statement for n acceptances, and what it says of each (accept_sql.c). It waits for a key that another
 * transaction has under way for a second, or a tenth of one when the row is alone; then it fails with ERR_PG_CONFLICT. */
extern const struct pg_stmt accept_stmt;
enum { ACCEPT_COLUMNS = 15, ACCEPT_PARAMS = ACCEPT_COLUMNS + 1 };
MUST struct err accept_columns(struct buf columns[ACCEPT_COLUMNS], struct acceptance *const *rows, size_t n,
                               struct pg_value out_values[ACCEPT_PARAMS]);
/* False: the row raced with another transaction and has to be asked again. */
bool accept_judge(struct acceptance *a, const PGresult *res, int row, struct arena *scratch);
/* Which of the rows a line of the answer is about; -1: none. */
int accept_row(const PGresult *res, int row);

#endif
