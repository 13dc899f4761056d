-- Payments. What must always hold is held here, by constraints and triggers, whoever writes. Run again at every migrate.
-- state_edge gets its rows from src/*_edges.def, after this text.
CREATE TABLE IF NOT EXISTS payments.state_edge (
    machine    text NOT NULL,
    from_state text NOT NULL, -- 'new': what a row may begin with
    to_state   text NOT NULL,
    PRIMARY KEY (machine, from_state, to_state)
);

-- 40001 comes first: a statement that was decided on an older version is to be decided again, not blamed for its edge.
CREATE OR REPLACE FUNCTION payments.check_edge(m text, a text, b text, old_version bigint, new_version bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF new_version <> old_version + 1 THEN
        RAISE EXCEPTION '%: version % does not follow %', m, new_version, old_version USING ERRCODE = '40001';
    END IF;
    IF a <> b AND NOT EXISTS (SELECT FROM payments.state_edge WHERE machine = m AND from_state = a AND to_state = b) THEN
        RAISE EXCEPTION '%: no way from % to %', m, a, b USING ERRCODE = '23514';
    END IF;
END $$;

-- Which machine a table is, is the trigger's argument; payment_op calls its status state.
CREATE OR REPLACE FUNCTION payments.guard_status() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM payments.check_edge(TG_ARGV[0], 'new', NEW.status, 0, NEW.version);
    ELSE
        PERFORM payments.check_edge(TG_ARGV[0], OLD.status, NEW.status, OLD.version, NEW.version);
    END IF;
    RETURN NEW;
END $$;

CREATE OR REPLACE FUNCTION payments.guard_state() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM payments.check_edge(TG_ARGV[0], 'new', NEW.state, 0, NEW.version);
    ELSE
        PERFORM payments.check_edge(TG_ARGV[0], OLD.state, NEW.state, OLD.version, NEW.version);
    END IF;
    RETURN NEW;
END $$;

CREATE OR REPLACE FUNCTION payments.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%.% is only appended to', TG_TABLE_SCHEMA, TG_TABLE_NAME USING ERRCODE = '23514';
END $$;

CREATE TABLE IF NOT EXISTS payments.payment (
    id              uuid PRIMARY KEY,
    tenant          text NOT NULL,
    order_id        uuid NOT NULL,
    key             text NOT NULL UNIQUE,              -- <root>:authorize
    amount          bigint NOT NULL CHECK (amount BETWEEN 1 AND 9007199254740991),
    currency        text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    token           text NOT NULL,
    authorized      bigint NOT NULL DEFAULT 0,
    captured        bigint NOT NULL DEFAULT 0,
    voided          bigint NOT NULL DEFAULT 0,
    refunded        bigint NOT NULL DEFAULT 0,
    capture_pending bigint NOT NULL DEFAULT 0,         -- reserved by captures and refunds that are not decided
    refund_pending  bigint NOT NULL DEFAULT 0,
    status          text NOT NULL DEFAULT 'created',
    version         bigint NOT NULL DEFAULT 1,
    provider_ref    text,                              -- of the authorization; what the other operations act on
    auth_expires_at timestamptz,
    traceparent     text NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    CHECK (LEAST(authorized, captured, voided, refunded, capture_pending, refund_pending) >= 0),
    CHECK (authorized <= amount),
    CHECK (captured + capture_pending + voided <= authorized),
    CHECK (refunded + refund_pending <= captured),
    CHECK (status <> 'authorized' OR auth_expires_at IS NOT NULL),
    CHECK (status <> 'captured' OR captured + voided = authorized),
    UNIQUE (id, currency)
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX IF NOT EXISTS payment_live ON payments.payment (order_id)
    WHERE status NOT IN ('failed', 'canceled', 'voided', 'expired');
CREATE OR REPLACE TRIGGER guard BEFORE INSERT OR UPDATE ON payments.payment
    FOR EACH ROW EXECUTE FUNCTION payments.guard_status('payment');

-- One row for each thing asked of the provider; its id is the reference the provider knows it by. root_id: the job of this module
-- it belongs to. calls counts the passes of the gate; what a call learned is recorded only while it is the latest.
CREATE TABLE IF NOT EXISTS payments.payment_op (
    id              uuid PRIMARY KEY,
    payment_id      uuid NOT NULL,
    root_id         uuid,
    kind            text NOT NULL CHECK (kind IN ('authorize', 'capture', 'void', 'refund')),
    key             text NOT NULL UNIQUE,
    amount          bigint NOT NULL CHECK (amount BETWEEN 1 AND 9007199254740991),
    currency        text NOT NULL,
    state           text NOT NULL DEFAULT 'init',
    version         bigint NOT NULL DEFAULT 1,
    calls           int NOT NULL DEFAULT 0,
    sent_at         timestamptz,
    not_after       timestamptz,                       -- later than this the provider books it no more
    provider        text NOT NULL,
    provider_ref    text,
    booked_amount   bigint,                            -- what the provider says it booked
    booked_currency text,
    code            text,                              -- why it was declined, errored, canceled or doubted
    traceparent     text NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    decided_at      timestamptz,
    FOREIGN KEY (payment_id, currency) REFERENCES payments.payment (id, currency),
    UNIQUE (id, currency),
    UNIQUE (provider, provider_ref, kind),
    CHECK (state IN ('init', 'canceled') OR not_after IS NOT NULL),
    CHECK (state <> 'succeeded' OR code IS NOT NULL OR provider_ref IS NOT NULL),
    CHECK (state <> 'succeeded' OR code IS NOT NULL OR (booked_amount = amount AND booked_currency = currency))
) WITH (fillfactor = 80);
CREATE INDEX IF NOT EXISTS payment_op_payment ON payments.payment_op (payment_id);
CREATE INDEX IF NOT EXISTS payment_op_root ON payments.payment_op (root_id) WHERE root_id IS NOT NULL;
CREATE OR REPLACE TRIGGER guard BEFORE INSERT OR UPDATE ON payments.payment_op
    FOR EACH ROW EXECUTE FUNCTION payments.guard_state('payment_op');

-- The refund that an operation of that kind is; same id.
CREATE TABLE IF NOT EXISTS payments.refund (
    id         uuid PRIMARY KEY REFERENCES payments.payment_op,
    payment_id uuid NOT NULL REFERENCES payments.payment,
    amount     bigint NOT NULL CHECK (amount > 0),
    reason     text,
    status     text NOT NULL DEFAULT 'pending',
    version    bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS refund_payment ON payments.refund (payment_id);
CREATE OR REPLACE TRIGGER guard BEFORE INSERT OR UPDATE ON payments.refund
    FOR EACH ROW EXECUTE FUNCTION payments.guard_status('refund');

-- The ledger. Debits are positive. The postings of one operation make one entry: two or more, in the operation's currency, that
-- sum to nothing. A correction is a new entry.
CREATE TABLE IF NOT EXISTS payments.ledger_entry (
    op_id    uuid NOT NULL,
    account  text NOT NULL CHECK (account IN ('provider_receivable', 'order_liability')),
    currency text NOT NULL,
    amount   bigint NOT NULL CHECK (amount <> 0),
    at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (op_id, account),
    FOREIGN KEY (op_id, currency) REFERENCES payments.payment_op (id, currency)
);
CREATE OR REPLACE FUNCTION payments.check_balance() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT count(*) < 2 OR sum(amount) <> 0 FROM payments.ledger_entry WHERE op_id = NEW.op_id) THEN
        RAISE EXCEPTION 'ledger entry % does not balance', NEW.op_id USING ERRCODE = '23514';
    END IF;
    RETURN NULL;
END $$;
DROP TRIGGER IF EXISTS balance ON payments.ledger_entry;
CREATE CONSTRAINT TRIGGER balance AFTER INSERT ON payments.ledger_entry DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION payments.check_balance();
CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE ON payments.ledger_entry
    FOR EACH ROW EXECUTE FUNCTION payments.refuse();
CREATE OR REPLACE TRIGGER append_only_truncate BEFORE TRUNCATE ON payments.ledger_entry
    FOR EACH STATEMENT EXECUTE FUNCTION payments.refuse();

-- However a job of this module ends (dead and expired are said from outside), it leaves no operation without somebody who asks
-- about it. A dead one may be replayed, so that what was not sent stays for it. The id: base/ids.h, in the shard of root.
CREATE OR REPLACE FUNCTION payments.sibling_id(root uuid, step text) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT encode(substring(r FROM 1 FOR 6) || set_byte(substring(d FROM 7 FOR 2), 0, 128 | (get_byte(d, 6) & 15)) ||
                  substring(r FROM 9 FOR 2) ||
                  set_byte(substring(d FROM 11 FOR 6), 0, (get_byte(r, 10) & 128) | (get_byte(d, 10) & 127)), 'hex')::uuid
    FROM (SELECT uuid_send(root) AS r, sha256(uuid_send(root) || convert_to(step, 'UTF8')) AS d) x
$$;
CREATE OR REPLACE FUNCTION payments.on_closed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO payments.job_outbox (id, root_id, tenant, queue, type, type_version, payload, traceparent, due_at)
    SELECT i.id, i.id, p.tenant, 'payments', 'payment.sync', 1, convert_to('{"op_id":"' || o.id || '"}', 'UTF8'),
           o.traceparent, NULL
    FROM payments.payment_op o JOIN payments.payment p ON p.id = o.payment_id,
         LATERAL (SELECT payments.sibling_id(NEW.root_id, 'sync:' || NEW.generation) AS id) i
    WHERE o.root_id = NEW.root_id AND
          (o.state IN ('sent', 'unknown') OR (NEW.outcome <> 'dead' AND o.state IN ('init', 'errored')))
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER closed AFTER INSERT OR UPDATE ON payments.effect
    FOR EACH ROW WHEN (NEW.step = '') EXECUTE FUNCTION payments.on_closed();

-- A job opens its operation, or ends because it opened none: never both. Both hold the payment's row by the time they come here,
-- and what a query in here sees is what stands then, not what stood before the wait. 40001: the other one was first.
CREATE OR REPLACE FUNCTION payments.guard_opening() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM payments.effect WHERE root_id = NEW.root_id AND step = '' AND outcome <> 'dead') THEN
        RAISE EXCEPTION 'payment_op: job % has ended', NEW.root_id USING ERRCODE = '40001';
    END IF;
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER opening BEFORE INSERT ON payments.payment_op
    FOR EACH ROW WHEN (NEW.root_id IS NOT NULL) EXECUTE FUNCTION payments.guard_opening();
CREATE OR REPLACE FUNCTION payments.opened_nothing(job uuid, on_payment uuid) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM FROM payments.payment WHERE id = on_payment FOR NO KEY UPDATE;
    IF EXISTS (SELECT FROM payments.payment_op WHERE root_id = job) THEN
        RAISE EXCEPTION 'payment_op: job % has opened one', job USING ERRCODE = '40001';
    END IF;
    RETURN true;
END $$;

-- What the module itself may not do.
REVOKE UPDATE, DELETE, TRUNCATE ON payments.ledger_entry FROM penstock_payments;
REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON payments.state_edge FROM penstock_payments;

-- What GET /v1/payments/{id} shows, and what capture and void answer.
CREATE OR REPLACE FUNCTION payments.payment_view(p payments.payment) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT row_to_json(v)::text FROM (
        SELECT p.id AS payment_id, p.order_id, p.status, p.amount AS amount_minor, p.currency, p.authorized AS authorized_minor,
               p.captured AS captured_minor, p.refunded AS refunded_minor, p.voided AS voided_minor, p.version,
               to_char(p.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS created_at,
               coalesce((SELECT json_agg(o) FROM (
                   SELECT id AS op_id, kind, state, payment_op.amount AS amount_minor, code,
                          to_char(payment_op.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS created_at
                   FROM payments.payment_op WHERE payment_id = p.id ORDER BY payment_op.created_at, id) o), '[]') AS operations) v
$$;
