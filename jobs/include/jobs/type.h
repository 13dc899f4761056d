/* What a job type is, what a module is, and the registry that finds them. A module owns its Postgres schema (same name) and role
 * (penstock_<name>), its job types, its event consumers; it meets other modules only through contracts/services.h and events. */
#ifndef JOBS_TYPE_H
#define JOBS_TYPE_H

#include <base/conf.h>
#include <base/ids.h>
#include <base/schema.h>
#include <io/http_client.h>
#include <io/pg.h>
#include <io/timer.h>
#include <jobs/retry.h>

struct attempt;
struct dependencies;
struct event;
struct module_env;
struct queue_table;
struct runtime;
struct services;

enum job_class { CLASS_JOURNAL, CLASS_STREAM };
const char *job_class_name(enum job_class c); /* "journal", "stream" */

/* Terminal outcomes; the words are the job states. */
enum job_outcome { OUTCOME_DONE, OUTCOME_DEAD, OUTCOME_CANCELLED, OUTCOME_EXPIRED, OUTCOME_MAX };
const char *job_outcome_name(enum job_outcome o);
bool job_outcome_parse(struct str s, enum job_outcome *out);

struct module_env;
typedef void left_cb(void *arg, struct err err);

struct job_type {
    const char *name; /* "order.place" */
    uint16_t version; /* of its payload schema */
    const char *queue;
    enum job_class class;
    const char *schema; /* JSON Schema 2020-12 of the payload */
    int64_t timeout_ms; /* of one attempt */
    struct retry_policy retry;
    bool key_required; /* Idempotency-Key at the door; journal types */
    bool keep_outcome; /* stream class: GET can tell how it ended, for an hour */
    bool flow;         /* cancelled by a cancel_request step that its transactions see; not by a terminal row alone */
    bool no_cancel;    /* a flow that looks at no such step: it gives back or finds out, and must come to its end, crash or not */
    const char *
        dependency; /* the server that its attempts call (jobs/dependency.h), whose state it shares with every type that names it; NULL:
                               none, or only the handler knows */
    bool internal; /* not to be posted at /v1/jobs: made by the API's own routes, flows and events */
    /* Runs one attempt, to exactly one attempt_* ending (jobs/attempt.h); may return before. */
    void (*start)(struct attempt *a);
    /* Before it is made dead, by whatever verdict: leaves what it has asked of another module and has not heard about to somebody who
     * finds out. NULL: there is nothing of that kind. */
    void (*leave)(struct module_env *env, struct uuid root, left_cb *cb, void *arg);
    void *declared; /* of a type that a file declares: what start knows of it */
};

/* An event's delivery to one module: one statement, gated by the module's inbox row. repeated: the row was there already. */
typedef void event_done_cb(void *arg, struct err err, bool repeated);
struct event_consumer {
    const char *type; /* "order.confirmed" */
    void (*deliver)(struct module_env *env, const struct event *e, event_done_cb *cb, void *arg);
};

/* The job types that a file declares, complete. Read only; references are counted, since what is under way goes on with the set it began
 * with when another one takes its place. */
struct type_set {
    const struct module *module; /* the one they run under */
    struct job_type *types;
    size_t types_n;
    struct str text; /* the same set as the text of one file: what a worker process is given */
    unsigned refs;   /* 1 when made */
    void (*free)(struct type_set *s);
};
void type_set_release(struct type_set *s); /* NULL is fine */

struct module_sql; /* jobs/module_sql.h */

struct module {
    const char *name; /* schema; role penstock_<name> */
    const char *ddl;  /* everything in its schema, idempotent; run by migrate as its owner */
    const struct module_sql *sql;
    /* What was asked of a server outside on behalf of root $1, for people: kind, state, at in ms, its reference there or NULL; of those that
     * were not asked for yet the state is "init". NULL: nothing that a repetition could do twice. */
    const struct pg_stmt *calls;
    /* What happened to those of the ids $1 (uuid[]) that are things of this module's, or belong to one, in tenant $2: at in ms, what, detail
     * (a JSON object), the root of the job it came by or NULL. NULL: nothing for people to read. */
    const struct pg_stmt *story;
    const struct job_type *types;
    size_t types_n;
    const struct event_consumer *consumers;
    size_t consumers_n;
    /* Reads a file of declared types. ERR_INVALID with file, line and reason. May be NULL. */
    struct err (*declare)(const char *path, struct type_set **out);
    /* Fills its entry in services and makes env->state; called once per process. May be NULL. */
    struct err (*open)(struct module_env *env, struct services *services);
    void (*close)(struct module_env *env); /* only after open succeeded; may be NULL */
};

/* What the code of a module may reach in this process. */
struct module_env {
    const struct module *module;
    struct loop *loop;
    struct pg_pool *db; /* under the module's role */
    struct http_client *http;
    struct http_client
        *handlers; /* the same for handlers of declared types: other addresses may be reached, and room is theirs alone */
    struct dependencies *dependencies; /* NULL: of a module alone */
    const struct conf *conf;
    const struct services *services;
    const struct queue_table *queues; /* for the places of follow-ups (jobs/follow_up.h) */
    struct id_maker *ids;
    struct runtime *runtime; /* for deliveries that fell back to a job (jobs/custom) */
    void *state;             /* the module's own */
};

struct registry {
    const struct module *const *modules;
    size_t modules_n;
    struct type_set *declared; /* NULL: none */
};
/* Every type, one after the other; NULL behind the last. */
const struct job_type *registry_at(const struct registry *r, size_t i, const struct module **out_module);
/* Reads the types that the file declares ("": none) into *out; NULL: none. ERR_INVALID where one has the name of a type that is written in C. */
MUST struct err registry_declare(const struct registry *r, const char *path, struct type_set **out);
const struct job_type *registry_type(const struct registry *r, struct str name,
                                     const struct module **out_module); /* NULL: unknown */
const struct module *registry_module(const struct registry *r, struct str name);

#endif
