/* Postgres in memory: the rows that the journal, the effects and the dead letters are, and the statements over them, by their names. Each
 * statement is one transaction. What the SQL texts say is said again here; that they say it is tried by the unit tests of jobs, scheduler
 * and api against a real Postgres. */
#ifndef SIM_STORE_H
#define SIM_STORE_H

#include <io/pg.h>
#include <jobs/type.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

enum { ROW_WAITING = OUTCOME_MAX, STORE_ROWS_MAX = 4096 };

struct row {
    UT_hash_handle hh;
    struct uuid id, root;
    int64_t generation;
    int state; /* enum job_outcome, or ROW_WAITING */
    int64_t epoch;
    unsigned shard;
    const char *type;
    int version;
    int64_t due_ms, deadline_ms, created_ms;
    bool unchecked;
};

struct effect {
    UT_hash_handle hh;
    struct {
        struct uuid root;
        char step[20];
    } key;
    int64_t generation;
    enum job_outcome outcome;
    int status;
    struct str result; /* hex text */
};

struct dead_row {
    UT_hash_handle hh;
    struct uuid id;
    int64_t generation;
    bool stream_class, replayed;
};

void store_begin(void);
void store_end(void);
PGresult *store_run(const struct pg_stmt *stmt, const struct pg_value *values);
void store_fall(void); /* marks since the last commit that was waited for are gone */

/* The statements of the simulator's own module and operators. */
extern const struct pg_stmt sim_note, sim_tally; /* effect with a note, $1 root: a stream-class job ran */
extern const struct pg_stmt sim_accept;   /* $1 id, $2 key, $3 type, $4 shard, $5 due, $6 deadline → fresh, id that counts */
extern const struct pg_stmt sim_insert;   /* penstock.enqueue: the same without a key, unchecked */
extern const struct pg_stmt sim_replay;   /* $1 id, journal class → generation */
extern const struct pg_stmt sim_dead;     /* $1 id, stream class → generation + 1 */
extern const struct pg_stmt sim_replayed; /* $1 id, $2 generation */

void store_pause(bool paused);
bool store_is_quiet(void); /* no open job */
const struct row *store_rows(void);
const struct row *store_row(struct uuid id);
const struct effect *store_effect(struct uuid root);
const struct dead_row *store_dead(struct uuid id);

#endif
