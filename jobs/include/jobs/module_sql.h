/* The tables every module has in its own schema, and the statements over them, written once for all modules by pasting the
 * schema's name into the text.
 *
 *   effect       (root_id, step) → outcome, generation, status, result. Step '' is terminal and is the arbiter.
 *   event_outbox what happened; relayed in order per aggregate
 *   job_outbox   jobs made by an effect, with their final ids
 *   inbox        (consumer is the module) events taken in
 */
#ifndef JOBS_MODULE_SQL_H
#define JOBS_MODULE_SQL_H

#include <io/pg.h>

enum { EFFECT_PARAMS = 6 };

/* $1 root uuid, $2 step text, $3 generation int, $4 outcome text, $5 status int, $6 result bytea.
 * g has one row when this statement wrote the effect: every other CTE of the statement selects FROM g. A dead effect of an
 * older generation is opened again (replay). */
#define EFFECT_GATE(schema)                                                                                    \
    "WITH g AS (INSERT INTO " schema ".effect AS e (root_id, step, generation, outcome, status, result) "      \
    "VALUES ($1::uuid, $2::text, $3::int, $4::text, $5::int, $6::bytea) "                                      \
    "ON CONFLICT (root_id, step) DO UPDATE SET generation = excluded.generation, outcome = excluded.outcome, " \
    "status = excluded.status, result = excluded.result, at = now() "                                          \
    "WHERE e.outcome = 'dead' AND e.generation < excluded.generation RETURNING root_id, generation, outcome, status, result)"

/* Columns fresh, generation, outcome, status, result. No row: another transaction wrote it after this one's snapshot; run again. */
#define EFFECT_ANSWER(schema)                                                                                                \
    " SELECT true AS fresh, generation, outcome, status, result FROM g UNION ALL "                                           \
    "SELECT false, generation, outcome, status, result FROM " schema ".effect WHERE root_id = $1::uuid AND step = $2::text " \
    "AND NOT EXISTS (SELECT FROM g)"

/* An event, as a CTE body: appended to event_outbox FROM source, with these SQL expressions. */
#define EVENT_INSERT(schema, id, type, aggregate_id, version, tenant, trace, data, source)                        \
    "INSERT INTO " schema ".event_outbox (id, type, aggregate_id, aggregate_version, tenant, traceparent, data) " \
    "SELECT " id ", " type ", " aggregate_id ", " version ", " tenant ", " trace ", " data " FROM " source

/* A follow-up job, as a CTE body. */
#define JOB_INSERT(schema, id, root, tenant, queue, type, type_version, payload, trace, due, source)                    \
    "INSERT INTO " schema ".job_outbox (id, root_id, tenant, queue, type, type_version, payload, traceparent, due_at) " \
    "SELECT " id ", " root ", " tenant ", " queue ", " type ", " type_version ", " payload ", " trace ", " due " FROM " source

struct module_sql {
    struct pg_stmt close, step; /* effect */
    struct pg_stmt effects;     /* of root $1, for people: step, outcome, generation, status, at in ms; '' is the terminal one */
    struct pg_stmt outbox_read, outbox_drop; /* job_outbox */
    struct pg_stmt events_read, events_mark; /* event_outbox */
    struct pg_stmt retain;                   /* effects, events, inbox rows whose ids are older than $1; at most 5000 of each */
};

#define MODULE_SQL(schema)                                                                                                \
    {                                                                                                                     \
        .close = {schema ".close", EFFECT_GATE(schema) EFFECT_ANSWER(schema), EFFECT_PARAMS},                             \
        .step = {schema ".step",                                                                                          \
                 "WITH t AS (SELECT generation, outcome, status, result FROM " schema ".effect WHERE root_id = $1::uuid " \
                 "AND step = '' AND NOT (outcome = 'dead' AND generation < $3::int)), "                                   \
                 "g AS (INSERT INTO " schema ".effect (root_id, step, generation, outcome, status) "                      \
                 "SELECT $1::uuid, $2::text, 0, 'done', 0 WHERE NOT EXISTS (SELECT FROM t) "                              \
                 "ON CONFLICT DO NOTHING RETURNING 1) "                                                                   \
                 "SELECT false, generation, outcome, status, result FROM t UNION ALL "                                    \
                 "SELECT EXISTS (SELECT FROM g), 0, 'done', 0, NULL WHERE NOT EXISTS (SELECT FROM t)",                    \
                 3},                                                                                                      \
        .effects = {schema ".effects",                                                                                    \
                    "SELECT step, outcome, generation, status, (extract(epoch FROM at) * 1000)::bigint FROM " schema      \
                    ".effect WHERE root_id = $1::uuid ORDER BY at, step",                                                 \
                    1},                                                                                                   \
        .outbox_read = {schema ".outbox_read",                                                                            \
                        "SELECT id, root_id, tenant, queue, type, type_version, payload, traceparent, "                   \
                        "(extract(epoch FROM due_at) * 1000)::bigint FROM " schema ".job_outbox ORDER BY id LIMIT 64",    \
                        0},                                                                                               \
        .outbox_drop = {schema ".outbox_drop", "DELETE FROM " schema ".job_outbox WHERE id = ANY($1::uuid[])", 1},        \
        .events_read = {schema ".events_read",                                                                            \
                        "SELECT id, type, aggregate_id, aggregate_version, tenant, traceparent, data, "                   \
                        "(extract(epoch FROM at) * 1000)::bigint FROM " schema ".event_outbox "                           \
                        "WHERE published_at IS NULL ORDER BY seq LIMIT 64",                                               \
                        0},                                                                                               \
        .events_mark = {schema ".events_mark",                                                                            \
                        "UPDATE " schema ".event_outbox SET published_at = now() WHERE id = ANY($1::uuid[])", 1},         \
        .retain = {schema ".retain",                                                                                      \
                   "WITH f AS (DELETE FROM " schema ".effect WHERE (root_id, step) IN (SELECT root_id, step FROM " schema \
                   ".effect "                                                                                             \
                   "WHERE root_id < $1::uuid ORDER BY root_id LIMIT 5000) RETURNING 1), "                                 \
                   "e AS (DELETE FROM " schema ".event_outbox WHERE id IN (SELECT id FROM " schema ".event_outbox "       \
                   "WHERE id < $1::uuid AND published_at IS NOT NULL ORDER BY id LIMIT 5000) RETURNING 1), "              \
                   "i AS (DELETE FROM " schema ".inbox WHERE event_id IN (SELECT event_id FROM " schema ".inbox "         \
                   "WHERE event_id < $1::uuid ORDER BY event_id LIMIT 5000) RETURNING 1) "                                \
                   "SELECT greatest((SELECT count(*) FROM f), (SELECT count(*) FROM e), (SELECT count(*) FROM i))",       \
                   1},                                                                                                    \
    }

/* The tables, for a module's ddl. */
#define MODULE_DDL(schema)                                                                                                 \
    "CREATE TABLE IF NOT EXISTS " schema ".effect (root_id uuid NOT NULL, step text NOT NULL, generation int NOT NULL, "   \
    "outcome text NOT NULL CHECK (outcome IN ('done','dead','cancelled','expired')), status int NOT NULL, result bytea, "  \
    "at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (root_id, step));\n"                                               \
    "CREATE TABLE IF NOT EXISTS " schema ".event_outbox (seq bigint GENERATED ALWAYS AS IDENTITY, id uuid PRIMARY KEY, "   \
    "type text NOT NULL, aggregate_id uuid NOT NULL, aggregate_version bigint NOT NULL, tenant text NOT NULL, "            \
    "traceparent text NOT NULL, data jsonb NOT NULL, at timestamptz NOT NULL DEFAULT now(), published_at timestamptz, "    \
    "UNIQUE (aggregate_id, aggregate_version, type));\n"                                                                   \
    "CREATE INDEX IF NOT EXISTS event_unpublished ON " schema ".event_outbox (seq) WHERE published_at IS NULL;\n"          \
    "CREATE TABLE IF NOT EXISTS " schema ".job_outbox (id uuid PRIMARY KEY, root_id uuid NOT NULL, tenant text NOT NULL, " \
    "queue text NOT NULL, type text NOT NULL, type_version int NOT NULL, payload bytea NOT NULL, "                         \
    "traceparent text NOT NULL, due_at timestamptz);\n"                                                                    \
    "CREATE TABLE IF NOT EXISTS " schema ".inbox (event_id uuid PRIMARY KEY, at timestamptz NOT NULL DEFAULT now());\n"

#endif
