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

INSERT INTO platform.queue (name, number, max_drain_s) VALUES
    ('default', 0, 300), ('orders', 1, 300), ('payments', 2, 0), ('notifications', 3, 60)
ON CONFLICT DO NOTHING;

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
CREATE INDEX IF NOT EXISTS job_open ON platform.job (queue, shard, id) INCLUDE (epoch) WHERE state = 'waiting';
CREATE INDEX IF NOT EXISTS job_unmarked ON platform.job (id) WHERE state = 'waiting' AND epoch IS NULL;
CREATE INDEX IF NOT EXISTS job_root ON platform.job (root_id);
CREATE INDEX IF NOT EXISTS job_finished ON platform.job (finished_at) WHERE state <> 'waiting';

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
CREATE INDEX IF NOT EXISTS dead_open ON platform.dead_job (queue, died_at) WHERE replayed_at IS NULL AND discarded_at IS NULL;
CREATE INDEX IF NOT EXISTS dead_group ON platform.dead_job (fingerprint) WHERE replayed_at IS NULL AND discarded_at IS NULL;

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

CREATE TABLE IF NOT EXISTS platform.audit (
    seq    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at     timestamptz NOT NULL DEFAULT now(),
    tenant text NOT NULL,
    author text NOT NULL,
    action text NOT NULL,
    target text NOT NULL,
    detail jsonb NOT NULL DEFAULT '{}'
);
REVOKE ALL ON ALL TABLES IN SCHEMA platform FROM PUBLIC;
