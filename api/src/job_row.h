/* A row of platform.job as answers need it, and what is written of it. */
#ifndef API_JOB_ROW_H
#define API_JOB_ROW_H

#include <base/arena.h>
#include <base/buf.h>
#include <base/ids.h>
#include <base/trace.h>
#include <io/pg.h>
#include <jobs/type.h>

struct job_row {
    struct uuid id, root;
    uint32_t generation;
    struct str tenant, queue, type; /* strings are in the result, or in the arena */
    int type_version;
    struct trace trace;
    struct wall due, deadline, created, finished; /* 0: none */
    struct str state;                             /* 'waiting' for every open one */
    int status;                                   /* of the result; 0: none */
    struct str result;                            /* JSON text; p NULL: none */
    struct str progress;                          /* likewise, of an open one; not among the columns */
};

/* The columns, in order, of a table or alias j; without the result, which may be large. */
#define JOB_COLUMNS JOB_COLUMNS_BUT_RESULT "j.result"
#define JOB_COLUMNS_BUT_RESULT                                                                                         \
    "j.id, j.root_id, j.generation, j.tenant, j.queue, j.type, j.type_version, j.traceparent, "                        \
    "(extract(epoch FROM j.due_at) * 1000)::bigint, (extract(epoch FROM j.deadline_at) * 1000)::bigint, "              \
    "(extract(epoch FROM j.created_at) * 1000)::bigint, (extract(epoch FROM j.finished_at) * 1000)::bigint, j.state, " \
    "j.result_status, "
enum { JOB_COLUMNS_N = 15 };
/* The same of platform.dead_job d: 'waiting' since created when it was run again, else 'dead'; no result. */
#define DEAD_COLUMNS                                                                                                     \
    "d.id, d.root_id, d.generation, d.tenant, d.queue, d.type, d.type_version, d.traceparent, NULL::bigint, "            \
    "NULL::bigint, (extract(epoch FROM d.replayed_at) * 1000)::bigint, (extract(epoch FROM d.died_at) * 1000)::bigint, " \
    "CASE WHEN d.replayed_at IS NULL THEN 'dead' ELSE 'waiting' END, NULL::int, NULL::bytea"

/* From first on. False: no row there (all NULL), or no memory. */
bool job_row_read(const PGresult *res, int row, int first, struct arena *a, struct job_row *out);
bool job_row_is_open(const struct job_row *j);

/* The body of a 202. It is made of what the row keeps, so that a repetition of the key gives the same bytes. estimate_s: until it
 * starts. due 0: at once. */
struct accepted {
    struct uuid id;
    struct str queue;
    enum job_class class;
    struct wall due;
    double estimate_s;
    const struct trace *trace;
};
void accepted_write(struct buf *b, const struct accepted *a);

/* The job itself. state: what it is shown as (the row alone does not tell delayed, running and parked). started 0: not known. */
void job_write(struct buf *b, const struct job_row *j, struct str state, struct wall started);

void job_add_time(struct buf *b, const char *name, struct wall t); /* ,"name":"…" unless 0 */
void job_add_text(struct buf *b, const char *name, struct str value);
void job_add_uuid(struct buf *b, const char *name, struct uuid id);
/* ,"payload":… with stars where the schema of its type says so; null where nobody can say: schema NULL, or a text that is no JSON. */
MUST struct err job_add_payload(struct buf *b, const struct schema *schema, struct str text);

#endif
