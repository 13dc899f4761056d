-- The platform's own schema: jobs and what is known of them. Run by `penstock migrate` as the owner; safe to run again.
CREATE SCHEMA IF NOT EXISTS platform;

-- Queues. number is part of every job id (base/ids.h): never reused. shards is fixed when the queue is made.
CREATE TABLE IF NOT EXISTS platform.queue (
    name       text PRIMARY KEY CHECK (name ~ '^[A-Za-z0-9_.-]{1,64}$'),
    number     smallint NOT NULL UNIQUE CHECK (number BETWEEN 0 AND 1023),
    shards     smallint NOT NULL DEFAULT 1 CHECK (shards BETWEEN 1 AND 16),
    paused     boolean NOT NULL DEFAULT false,
    slots      int NOT NULL DEFAULT 64 CHECK (slots BETWEEN 1 AND 1024),          -- attempts at once in one worker process
    max_depth  bigint NOT NULL DEFAULT 1000000 CHECK (max_depth > 0),              -- entries in Redis
    max_open   bigint NOT NULL DEFAULT 1000000 CHECK (max_open > 0),               -- open journal jobs
    max_drain_s int NOT NULL DEFAULT 300 CHECK (max_drain_s >= 0),                 -- 0: never refuse by drain time
    version    bigint NOT NULL DEFAULT 1
);

-- How full what all queues share (Redis's memory, the room before Postgres) may be for this one to take jobs: who matters less stops
-- first.
ALTER TABLE platform.queue ADD COLUMN IF NOT EXISTS max_fill_pct smallint CHECK (max_fill_pct BETWEEN 1 AND 100);

INSERT INTO platform.queue (name, number, max_drain_s) VALUES
    ('default', 0, 300), ('orders', 1, 300), ('payments', 2, 0), ('notifications', 3, 60)
ON CONFLICT DO NOTHING;
UPDATE platform.queue SET max_fill_pct = CASE name WHEN 'notifications' THEN 70 WHEN 'orders' THEN 88 WHEN 'payments' THEN 95 ELSE 75 END
WHERE max_fill_pct IS NULL;
ALTER TABLE platform.queue ALTER COLUMN max_fill_pct SET DEFAULT 75, ALTER COLUMN max_fill_pct SET NOT NULL;

-- The journal. A row is the job; Redis holds its place in the queue. state 'waiting' is every open state: whether such a job is
-- delayed, running or parked, Redis knows. epoch: the nonce of the shard epoch under which Redis has seen the job; NULL: it has not.
CREATE TABLE IF NOT EXISTS platform.job (
    id            uuid PRIMARY KEY,
    root_id       uuid NOT NULL,
    generation    int NOT NULL DEFAULT 0,
    tenant        text NOT NULL,
    queue         text NOT NULL REFERENCES platform.queue,
    shard         smallint NOT NULL,
    type          text NOT NULL,
    type_version  int NOT NULL,
    payload       bytea NOT NULL,
    traceparent   text NOT NULL,
    due_at        timestamptz,
    deadline_at   timestamptz,
    created_at    timestamptz NOT NULL DEFAULT now(),
    epoch         bigint,
    state         text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'done', 'dead', 'cancelled', 'expired')),
    finished_at   timestamptz,
    result_status int,
    result        bytea,
    replay_of     uuid,
    CHECK ((state = 'waiting') = (finished_at IS NULL))
) WITH (fillfactor = 80);
-- Made by penstock.enqueue: the worker checks the payload against the type's schema, and nobody but the relay places the job in Redis.
ALTER TABLE platform.job ADD COLUMN IF NOT EXISTS unchecked boolean NOT NULL DEFAULT false;
CREATE INDEX IF NOT EXISTS job_open ON platform.job (queue, shard, id) INCLUDE (epoch) WHERE state = 'waiting';
CREATE INDEX IF NOT EXISTS job_unmarked ON platform.job (id) WHERE state = 'waiting' AND epoch IS NULL;
CREATE INDEX IF NOT EXISTS job_root ON platform.job (root_id);
CREATE INDEX IF NOT EXISTS job_replay ON platform.job (replay_of) WHERE replay_of IS NOT NULL;
-- What an order, or anything else, has sent is found by its trace.
CREATE INDEX IF NOT EXISTS job_notices ON platform.job (substr(traceparent, 4, 32)) WHERE queue = 'notifications';
CREATE INDEX IF NOT EXISTS job_ended ON platform.job (state, id) WHERE state IN ('dead', 'cancelled', 'expired');
CREATE INDEX IF NOT EXISTS job_finished ON platform.job (finished_at) WHERE state <> 'waiting';

-- How far a job is, as its handler said last; forgotten with the job.
CREATE TABLE IF NOT EXISTS platform.job_progress (
    job_id   uuid PRIMARY KEY,
    progress jsonb NOT NULL
);

-- One key, one job. estimate_s is part of the 202 and so of its repetition.
CREATE TABLE IF NOT EXISTS platform.idempotency (
    tenant      text NOT NULL,
    key         text NOT NULL,
    fingerprint bytea NOT NULL,
    job_id      uuid NOT NULL,
    estimate_s  real NOT NULL DEFAULT 0,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, key)
);
CREATE INDEX IF NOT EXISTS idempotency_job ON platform.idempotency (job_id);

-- Dead jobs of both classes. A journal job keeps its payload in its own row as well.
CREATE TABLE IF NOT EXISTS platform.dead_job (
    id           uuid PRIMARY KEY,
    root_id      uuid NOT NULL,
    generation   int NOT NULL,
    class        text NOT NULL CHECK (class IN ('journal', 'stream')),
    tenant       text NOT NULL,
    queue        text NOT NULL,
    type         text NOT NULL,
    type_version int NOT NULL,
    payload      bytea NOT NULL,
    attempts     int NOT NULL,
    errors       jsonb NOT NULL,               -- the last five: [{at_ms, code, detail}]
    fingerprint  text NOT NULL,                -- type and error, digits folded: what belongs to one group
    traceparent  text NOT NULL,
    died_at      timestamptz NOT NULL DEFAULT now(),
    replayed_at  timestamptz,
    discarded_at timestamptz
);
-- The version of the worker that it died on, last and, as one of this group, first; NULL: nobody noted it.
ALTER TABLE platform.dead_job ADD COLUMN IF NOT EXISTS release text, ADD COLUMN IF NOT EXISTS first_release text;
CREATE INDEX IF NOT EXISTS dead_open ON platform.dead_job (queue, died_at) WHERE replayed_at IS NULL AND discarded_at IS NULL;
DROP INDEX IF EXISTS platform.dead_group;
CREATE INDEX IF NOT EXISTS dead_groups ON platform.dead_job (queue, fingerprint, died_at) INCLUDE (tenant)
    WHERE replayed_at IS NULL AND discarded_at IS NULL;
CREATE INDEX IF NOT EXISTS dead_discarded ON platform.dead_job (queue, discarded_at) WHERE replayed_at IS NULL AND discarded_at IS NOT NULL;

-- How many worker processes a queue should have, who said so and why.
CREATE TABLE IF NOT EXISTS platform.desired_workers (
    queue   text PRIMARY KEY REFERENCES platform.queue,
    workers int NOT NULL CHECK (workers BETWEEN 0 AND 1024),
    pinned  boolean NOT NULL DEFAULT false,
    reason  text NOT NULL,
    author  text NOT NULL,
    at      timestamptz NOT NULL DEFAULT now()
);
INSERT INTO platform.desired_workers (queue, workers, reason, author)
SELECT name, 1, 'default', 'system' FROM platform.queue ON CONFLICT DO NOTHING;

-- Where the autoscaler keeps that number, unless it is pinned. No max_workers: as many as the supervisors' machines have processors, since a
-- worker process is one loop on one of them.
ALTER TABLE platform.queue ADD COLUMN IF NOT EXISTS min_workers int NOT NULL DEFAULT 1 CHECK (min_workers BETWEEN 0 AND 1024);
ALTER TABLE platform.queue ADD COLUMN IF NOT EXISTS max_workers int CHECK (max_workers BETWEEN min_workers AND 1024);
ALTER TABLE platform.queue ADD COLUMN IF NOT EXISTS target_age_s int NOT NULL DEFAULT 5 CHECK (target_age_s BETWEEN 1 AND 86400);

-- Of bulk actions: beside what they may be there to clear. No worker while there is none.
INSERT INTO platform.queue (name, number, max_drain_s, max_fill_pct, slots, min_workers) VALUES ('bulk', 1023, 0, 95, 4, 0) ON CONFLICT DO NOTHING;
INSERT INTO platform.desired_workers (queue, workers, reason, author) VALUES ('bulk', 0, 'default', 'system') ON CONFLICT DO NOTHING;

-- Every change of it, whoever made it.
CREATE TABLE IF NOT EXISTS platform.scale_change (
    seq     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    queue   text NOT NULL,
    workers int NOT NULL,
    before  int NOT NULL,
    pinned  boolean NOT NULL,
    reason  text NOT NULL,
    author  text NOT NULL,
    at      timestamptz NOT NULL
);
CREATE INDEX IF NOT EXISTS scale_change_queue ON platform.scale_change (queue, seq);
CREATE OR REPLACE FUNCTION platform.note_scale_change() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$ -- nobody writes into it otherwise
BEGIN
    INSERT INTO platform.scale_change (queue, workers, before, pinned, reason, author, at)
    VALUES (NEW.queue, NEW.workers, OLD.workers, NEW.pinned, NEW.reason, NEW.author, NEW.at);
    RETURN NULL;
END$$;
CREATE OR REPLACE TRIGGER note_scale_change AFTER UPDATE ON platform.desired_workers FOR EACH ROW
WHEN ((OLD.workers, OLD.pinned) IS DISTINCT FROM (NEW.workers, NEW.pinned)) EXECUTE FUNCTION platform.note_scale_change();

-- The supervisors, among whom the number is divided by room. load: of each queue, what their processes do.
CREATE TABLE IF NOT EXISTS platform.supervisor (
    name    text PRIMARY KEY,
    room    int NOT NULL CHECK (room > 0),     -- processes that it may have
    cores   int NOT NULL CHECK (cores > 0),
    queues  text NOT NULL,                     -- that it runs, with commas; empty: every one
    load    jsonb NOT NULL,
    seen_at timestamptz NOT NULL
);

-- What operators tell single worker processes, by their consumer, which no later process has. outcome: what the supervisor made of it; NULL: it
-- has not taken it yet.
CREATE TABLE IF NOT EXISTS platform.worker_order (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    consumer   text NOT NULL,
    supervisor text NOT NULL,
    wish       text NOT NULL CHECK (wish IN ('quiet', 'resume', 'stop')),
    at         timestamptz NOT NULL DEFAULT now(),
    outcome    text CHECK (outcome IN ('done', 'gone', 'leaving'))
);
CREATE INDEX IF NOT EXISTS worker_order_recent ON platform.worker_order (supervisor, at);

-- How far bulk actions (jobs/bulk) are.
CREATE TABLE IF NOT EXISTS platform.bulk (
    job_id uuid PRIMARY KEY,
    done   bigint NOT NULL DEFAULT 0,
    behind uuid,                               -- the last job that was looked at, where they are gone through by id
    paused boolean NOT NULL DEFAULT false
);
-- What they looked at and left as it was: {"<why>": {"jobs": n, "example": "…"}}.
ALTER TABLE platform.bulk ADD COLUMN IF NOT EXISTS left_over jsonb NOT NULL DEFAULT '{}';

-- What operators allow: jobs a second of a queue, a type, a tenant; requests a second of an API key; attempts at once of a type.
CREATE TABLE IF NOT EXISTS platform.throttle (
    kind        text NOT NULL CHECK (kind IN ('queue', 'type', 'tenant', 'key')),
    name        text NOT NULL CHECK (length(name) BETWEEN 1 AND 64),
    per_s       numeric(12, 3) CHECK (per_s > 0),
    burst       int CHECK (burst > 0),         -- at once
    concurrency int CHECK (concurrency > 0),
    reason      text NOT NULL,
    author      text NOT NULL,
    at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (kind, name),
    CHECK (concurrency IS NULL OR kind = 'type'),
    CHECK ((per_s IS NULL) = (burst IS NULL) AND (per_s IS NOT NULL OR concurrency IS NOT NULL))
);
-- The API processes, among which rates are divided; only while there are any.
CREATE TABLE IF NOT EXISTS platform.api_process (
    name    text PRIMARY KEY,
    seen_at timestamptz NOT NULL
);

-- Jobs that come again by a cron expression (base/cron.h). A tick is a job with the key cron:<id>:<tick's unix seconds> of tenant _system;
-- the job itself is the schedule's tenant's. next_at: no tick before it is still to be made.
CREATE TABLE IF NOT EXISTS platform.schedule (
    id           uuid PRIMARY KEY,
    tenant       text NOT NULL,
    name         text NOT NULL CHECK (name ~ '^[A-Za-z0-9_.-]{1,64}$'),
    cron         text NOT NULL,
    timezone     text NOT NULL,
    missed       text NOT NULL CHECK (missed IN ('skip', 'once', 'all')),
    queue        text NOT NULL REFERENCES platform.queue,
    type         text NOT NULL,
    type_version int NOT NULL,
    payload      bytea NOT NULL,
    paused       boolean NOT NULL DEFAULT false,
    next_at      timestamptz NOT NULL,
    last_at      timestamptz,                  -- the latest tick made
    version      bigint NOT NULL DEFAULT 1,    -- one more with each change by an operator
    created_at   timestamptz NOT NULL DEFAULT now(),
    UNIQUE (tenant, name)
);
CREATE INDEX IF NOT EXISTS schedule_due ON platform.schedule (next_at, id) WHERE NOT paused;

CREATE TABLE IF NOT EXISTS platform.api_key (
    id          text PRIMARY KEY,
    secret_hash bytea NOT NULL,                -- SHA-256 of the secret, which has 256 random bits
    tenant      text NOT NULL,
    scopes      text[] NOT NULL,
    name        text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    revoked_at  timestamptz
);
-- Of a rotated key: the secret before this one, and until when it opens as well.
ALTER TABLE platform.api_key ADD COLUMN IF NOT EXISTS old_hash bytea, ADD COLUMN IF NOT EXISTS old_until timestamptz;

CREATE TABLE IF NOT EXISTS platform.audit (
    seq    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at     timestamptz NOT NULL DEFAULT now(),
    tenant text NOT NULL,
    author text NOT NULL,
    action text NOT NULL,
    target text NOT NULL,
    detail jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX IF NOT EXISTS audit_target ON platform.audit (target, seq);
CREATE INDEX IF NOT EXISTS audit_action ON platform.audit (action, seq);
CREATE INDEX IF NOT EXISTS audit_author ON platform.audit (author, seq);
CREATE INDEX IF NOT EXISTS audit_tenant ON platform.audit (tenant, seq);

-- What was counted for each objective (ops/slo.def), by day in UTC. Each process adds what has come since it added last, with a number of its
-- own that grows: a statement that is sent again adds nothing (jobs/src/slo_keep.c).
CREATE TABLE IF NOT EXISTS platform.slo_day (
    day   date NOT NULL,
    slo   text NOT NULL,
    good  bigint NOT NULL,
    total bigint NOT NULL,
    PRIMARY KEY (day, slo)
);
CREATE TABLE IF NOT EXISTS platform.slo_process (
    process text PRIMARY KEY,
    number  bigint NOT NULL,
    at      timestamptz NOT NULL DEFAULT now()
);
REVOKE ALL ON ALL TABLES IN SCHEMA platform FROM PUBLIC;

-- Where a producer is told that a job has ended; and of the job that tells it, which one that was.
ALTER TABLE platform.job ADD COLUMN IF NOT EXISTS callback_url text, ADD COLUMN IF NOT EXISTS callback_of uuid;

-- The types whose jobs penstock.enqueue takes: class journal, as the API processes know them (they write it when they start and when they
-- are told of other declared types).
CREATE TABLE IF NOT EXISTS platform.job_type (
    name     text PRIMARY KEY,
    version  int NOT NULL,
    queue    text NOT NULL,
    internal boolean NOT NULL
);
ALTER TABLE platform.job_type ADD COLUMN IF NOT EXISTS declared boolean NOT NULL DEFAULT false; -- by a file; gone when it is gone there
REVOKE ALL ON platform.job_type FROM PUBLIC;

-- What applications in the same database may call: GRANT penstock_producer TO their roles. The function runs as penstock_enqueue, which
-- may do what it does and no more; the schema is ours even if somebody made it before.
CREATE SCHEMA IF NOT EXISTS penstock;
ALTER SCHEMA penstock OWNER TO CURRENT_USER;
REVOKE ALL ON SCHEMA penstock FROM PUBLIC;
DO $$BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'penstock_producer') THEN
        CREATE ROLE penstock_producer NOLOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'penstock_enqueue') THEN
        CREATE ROLE penstock_enqueue NOLOGIN;
    END IF;
END$$;
GRANT USAGE ON SCHEMA penstock TO penstock_producer;
GRANT USAGE ON SCHEMA platform TO penstock_enqueue;
REVOKE ALL ON ALL TABLES IN SCHEMA platform FROM penstock_enqueue;
GRANT SELECT ON platform.job_type, platform.queue TO penstock_enqueue;
GRANT SELECT, INSERT ON platform.idempotency TO penstock_enqueue;
GRANT INSERT ON platform.job TO penstock_enqueue;

-- A new job id (base/ids.h) of class journal: where it lives is in its bits.
DROP FUNCTION IF EXISTS penstock.new_job_id(int, int);
CREATE OR REPLACE FUNCTION platform.new_job_id(number int, shards int) RETURNS uuid
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    b bytea := uuid_send(gen_random_uuid());
    shard int := get_byte(b, 15) % shards;
BEGIN
    b := overlay(b PLACING substring(int8send(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6);
    b := set_byte(b, 6, 112 | (get_byte(b, 6) & 15));
    b := set_byte(b, 8, 128 | (number >> 5));
    b := set_byte(b, 9, ((number << 3) & 255) | (shard >> 1));
    b := set_byte(b, 10, ((shard & 1) << 7) | (get_byte(b, 10) & 127));
    RETURN encode(b, 'hex')::uuid;
END$$;
REVOKE ALL ON FUNCTION platform.new_job_id(int, int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION platform.new_job_id(int, int) TO penstock_enqueue;

-- Whoever ends a job that is to be told of makes, in the same transaction, the job that tells: one for each end, so that after a retry there
-- is another. The result goes along as it is, if it is small; nothing here reads it, so nothing that a job returns keeps it from ending.
CREATE OR REPLACE FUNCTION platform.tell_callback() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    stamp CONSTANT text := 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"';
    id uuid;
    data text;
    result bytea := '';
BEGIN
    SELECT platform.new_job_id(q.number, q.shards) INTO STRICT id FROM platform.queue q WHERE q.name = 'notifications';
    data := json_strip_nulls(json_build_object('id', NEW.id, 'root_id', NEW.root_id, 'type', NEW.type, 'tenant', NEW.tenant,
        'queue', NEW.queue, 'state', NEW.state, 'generation', NEW.generation, 'replay_of', NEW.replay_of,
        'created_at', to_char(NEW.created_at::timestamptz(3) AT TIME ZONE 'UTC', stamp), 'finished_at', to_char(NEW.finished_at::timestamptz(3) AT TIME ZONE 'UTC', stamp),
        'status', nullif(NEW.result_status, 0), 'trace_id', substr(NEW.traceparent, 4, 32), 'links', json_build_object('self', '/v1/jobs/' || NEW.id),
        'error', (SELECT json_build_object('code', d.errors -> -1 -> 'code', 'detail', d.errors -> -1 -> 'detail') FROM platform.dead_job d
            WHERE d.id = NEW.id AND d.generation = NEW.generation AND NEW.state = 'dead' AND jsonb_array_length(d.errors) > 0)))::text;
    IF octet_length(NEW.result) BETWEEN 1 AND 16384 THEN
        result := convert_to(',"result":', 'UTF8') || NEW.result;
    END IF;
    INSERT INTO platform.job (id, root_id, tenant, queue, shard, type, type_version, payload, traceparent, callback_of)
    VALUES (id, id, NEW.tenant, 'notifications', ((get_byte(uuid_send(id), 9) & 7) << 1) | (get_byte(uuid_send(id), 10) >> 7), 'notify.webhook', 1,
        convert_to('{"url":' || to_json(NEW.callback_url) || ',"event_type":"job.' || NEW.state || '","data":' || left(data, -1), 'UTF8')
            || result || '}}', NEW.traceparent, NEW.id);
    RETURN NULL;
END$$;
REVOKE ALL ON FUNCTION platform.tell_callback() FROM PUBLIC;
CREATE OR REPLACE TRIGGER tell_callback AFTER UPDATE OF state ON platform.job FOR EACH ROW
WHEN (NEW.callback_url IS NOT NULL AND OLD.state = 'waiting' AND NEW.state <> 'waiting') EXECUTE FUNCTION platform.tell_callback();

-- Enqueues a job when the caller's transaction commits, and never otherwise; tenant default. A key is that of an Idempotency-Key: the same
-- key with the same type and payload is the same job, with others it is refused. The payload is checked against the
-- type's schema by the worker: a job that does not satisfy it is dead.
CREATE OR REPLACE FUNCTION penstock.enqueue(type text, payload jsonb, key text DEFAULT NULL) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    t record;
    known record;
    id uuid;
    body bytea := convert_to(payload::text, 'UTF8');
    mark bytea := sha256(convert_to('SQL ' || type || E'\n', 'UTF8') || body);
    trace text := replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '');
BEGIN
    SELECT j.version, j.queue, q.number, q.shards INTO t
    FROM platform.job_type j LEFT JOIN platform.queue q ON q.name = j.queue WHERE j.name = enqueue.type AND NOT j.internal;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no job type "%" of class journal', type USING ERRCODE = 'invalid_parameter_value',
            HINT = (SELECT 'There are ' || string_agg(j.name, ', ' ORDER BY j.name) || '.' FROM platform.job_type j WHERE NOT j.internal);
    ELSIF t.number IS NULL THEN
        RAISE EXCEPTION 'job type "%" belongs to queue "%", which does not exist', type, t.queue USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Correct its queue in the file that declares the type.';
    ELSIF payload IS NULL OR jsonb_typeof(payload) <> 'object' THEN
        RAISE EXCEPTION 'the payload is no JSON object' USING ERRCODE = 'invalid_parameter_value', HINT = 'Use jsonb_build_object.';
    ELSIF octet_length(body) > 65536 THEN
        RAISE EXCEPTION 'the payload has more than 65536 bytes' USING ERRCODE = 'program_limit_exceeded',
            HINT = 'Keep the data in a table of yours, and send its key.';
    ELSIF key !~ '^[\x20-\x7e]{1,255}$' THEN
        RAISE EXCEPTION 'the key is malformed' USING ERRCODE = 'invalid_parameter_value', HINT = 'Use 1 to 255 printable ASCII characters.';
    END IF;
    id := platform.new_job_id(t.number, t.shards);
    IF key IS NOT NULL THEN
        INSERT INTO platform.idempotency (tenant, key, fingerprint, job_id) VALUES ('default', enqueue.key, mark, id)
        ON CONFLICT DO NOTHING;
        IF NOT FOUND THEN
            SELECT i.fingerprint, i.job_id INTO known FROM platform.idempotency i WHERE i.tenant = 'default' AND i.key = enqueue.key;
            IF known.job_id IS NULL THEN
                RAISE EXCEPTION 'the key "%" has just been forgotten', key USING ERRCODE = 'serialization_failure', HINT = 'Try again.';
            ELSIF known.fingerprint <> mark THEN
                RAISE EXCEPTION 'the key "%" was used for another job, %', key, known.job_id USING ERRCODE = 'unique_violation',
                    HINT = 'Use a new key for a new operation; a repetition must have the same type and payload.';
            END IF;
            RETURN known.job_id;
        END IF;
    END IF;
    INSERT INTO platform.job (id, root_id, tenant, queue, shard, type, type_version, payload, traceparent, unchecked)
    VALUES (id, id, 'default', t.queue, ((get_byte(uuid_send(id), 9) & 7) << 1) | (get_byte(uuid_send(id), 10) >> 7), type, t.version,
            body, '00-' || substr(trace, 1, 32) || '-' || substr(trace, 33, 16) || '-01', true);
    RETURN id;
END$$;
-- An administrator who is no superuser must be a member of the new owner, which in turn must be able to create in the schema.
GRANT penstock_enqueue TO CURRENT_USER;
GRANT CREATE ON SCHEMA penstock TO penstock_enqueue;
ALTER FUNCTION penstock.enqueue(text, jsonb, text) OWNER TO penstock_enqueue;
REVOKE ALL ON SCHEMA penstock FROM penstock_enqueue;
REVOKE ALL ON FUNCTION penstock.enqueue(text, jsonb, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION penstock.enqueue(text, jsonb, text) TO penstock_producer;
