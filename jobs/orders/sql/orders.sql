-- Orders. What must always hold is held here, by constraints and triggers, whoever writes. Run again at every migrate.
-- state_edge gets its rows from src/order_edges.def, after this text.
CREATE TABLE IF NOT EXISTS orders.state_edge (
    machine    text NOT NULL,
    from_state text NOT NULL, -- 'new': what a row may begin with
    to_state   text NOT NULL,
    PRIMARY KEY (machine, from_state, to_state)
);

-- An order's id is the root id of the order.place job that makes it.
CREATE TABLE IF NOT EXISTS orders.orders (
    id          uuid PRIMARY KEY,
    tenant      text NOT NULL,
    customer_id text NOT NULL,
    currency    text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    subtotal    bigint NOT NULL CHECK (subtotal >= 0),
    discount    bigint NOT NULL DEFAULT 0 CHECK (discount >= 0), -- of the order as a whole, as are shipping and tax
    shipping    bigint NOT NULL DEFAULT 0 CHECK (shipping >= 0),
    tax         bigint NOT NULL DEFAULT 0 CHECK (tax >= 0),
    total       bigint NOT NULL CHECK (total BETWEEN 1 AND 9007199254740991),
    status      text NOT NULL DEFAULT 'placed',
    version     bigint NOT NULL DEFAULT 1,
    token       text NOT NULL,                                   -- the payment method, as its provider names it
    capture     boolean NOT NULL,
    notify      jsonb NOT NULL DEFAULT '{}',
    payment_id  uuid,
    cancel_root uuid,                                            -- the order.cancel job that is at it
    traceparent text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    CHECK (total = subtotal - discount + shipping + tax),
    CHECK (status <> 'confirmed' OR payment_id IS NOT NULL),
    UNIQUE (id, currency)
) WITH (fillfactor = 80);

CREATE TABLE IF NOT EXISTS orders.order_line (
    order_id   uuid NOT NULL,
    line_no    int NOT NULL CHECK (line_no > 0),
    currency   text NOT NULL,
    sku        text NOT NULL,
    title      text NOT NULL,                                    -- as it was when ordered, like the price
    qty        int NOT NULL CHECK (qty > 0),
    unit_minor bigint NOT NULL CHECK (unit_minor >= 0),
    discount   bigint NOT NULL DEFAULT 0 CHECK (discount >= 0),
    tax        bigint NOT NULL DEFAULT 0 CHECK (tax >= 0),
    line_total bigint NOT NULL CHECK (line_total >= 0),
    PRIMARY KEY (order_id, line_no),
    FOREIGN KEY (order_id, currency) REFERENCES orders.orders (id, currency),
    CHECK (line_total = qty * unit_minor - discount + tax)
);

-- 40001 comes first: a statement that was decided on an older version, or before somebody asked for the order's cancellation, is
-- to be decided again.
CREATE OR REPLACE FUNCTION orders.guard_status() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before text := CASE TG_OP WHEN 'INSERT' THEN 'new' ELSE OLD.status END;
    version bigint := CASE TG_OP WHEN 'INSERT' THEN 0 ELSE OLD.version END;
BEGIN
    IF NEW.version <> version + 1 THEN
        RAISE EXCEPTION 'order: version % does not follow %', NEW.version, version USING ERRCODE = '40001';
    END IF;
    IF before <> NEW.status AND NOT EXISTS (
        SELECT FROM orders.state_edge WHERE machine = 'order' AND from_state = before AND to_state = NEW.status) THEN
        RAISE EXCEPTION 'order: no way from % to %', before, NEW.status USING ERRCODE = '23514';
    END IF;
    IF NEW.status = 'confirmed' AND before <> 'confirmed' AND EXISTS (
        SELECT FROM orders.effect WHERE root_id = NEW.id AND step = 'cancel_request') THEN
        RAISE EXCEPTION 'order: its cancellation was requested' USING ERRCODE = '40001';
    END IF;
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER guard BEFORE INSERT OR UPDATE ON orders.orders
    FOR EACH ROW EXECUTE FUNCTION orders.guard_status();

-- Lines sum up to the order's subtotal: looked at when the transaction commits, from both sides.
CREATE OR REPLACE FUNCTION orders.check_sum(wanted uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM orders.orders o WHERE o.id = wanted AND o.subtotal <>
               (SELECT coalesce(sum(l.line_total), 0) FROM orders.order_line l WHERE l.order_id = o.id)) THEN
        RAISE EXCEPTION 'order %: its lines do not sum up to its subtotal', wanted USING ERRCODE = '23514';
    END IF;
END $$;
CREATE OR REPLACE FUNCTION orders.check_order_sum() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM orders.check_sum(NEW.id);
    RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION orders.check_line_sum() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM orders.check_sum(CASE TG_OP WHEN 'DELETE' THEN OLD.order_id ELSE NEW.order_id END);
    IF TG_OP = 'UPDATE' AND OLD.order_id <> NEW.order_id THEN
        PERFORM orders.check_sum(OLD.order_id);
    END IF;
    RETURN NULL;
END $$;
DROP TRIGGER IF EXISTS sums ON orders.orders;
CREATE CONSTRAINT TRIGGER sums AFTER INSERT OR UPDATE OF subtotal ON orders.orders DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION orders.check_order_sum();
DROP TRIGGER IF EXISTS sums ON orders.order_line;
CREATE CONSTRAINT TRIGGER sums AFTER INSERT OR UPDATE OR DELETE ON orders.order_line DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION orders.check_line_sum();

-- A flow expires before it asks for the payment; but another runner of it may have gone on meanwhile. So an order whose flow was
-- closed as expired gives back what it holds, in whatever state it is: by order.release, in the shard of the order's job (its id:
-- base/ids.h). A dead one may be replayed and keeps what it has.
CREATE OR REPLACE FUNCTION orders.sibling_id(root uuid, step text) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT encode(substring(r FROM 1 FOR 6) || set_byte(substring(d FROM 7 FOR 2), 0, 128 | (get_byte(d, 6) & 15)) ||
                  substring(r FROM 9 FOR 2) ||
                  set_byte(substring(d FROM 11 FOR 6), 0, (get_byte(r, 10) & 128) | (get_byte(d, 10) & 127)), 'hex')::uuid
    FROM (SELECT uuid_send(root) AS r, sha256(uuid_send(root) || convert_to(step, 'UTF8')) AS d) x
$$;
CREATE OR REPLACE FUNCTION orders.on_expired() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    o orders.orders;
BEGIN
    UPDATE orders.orders SET status = 'expired', version = version + 1
    WHERE id = NEW.root_id AND status IN ('placed', 'reserving', 'authorizing');
    SELECT * INTO o FROM orders.orders WHERE id = NEW.root_id AND status IN ('expired', 'canceling');
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF o.status = 'expired' THEN
        INSERT INTO orders.event_outbox (id, type, aggregate_id, aggregate_version, tenant, traceparent, data)
        VALUES (orders.sibling_id(o.id, 'expired'), 'order.expired', o.id, o.version, o.tenant, o.traceparent,
                jsonb_build_object('order_id', o.id, 'customer_id', o.customer_id, 'notify', o.notify))
        ON CONFLICT DO NOTHING;
    END IF;
    INSERT INTO orders.job_outbox (id, root_id, tenant, queue, type, type_version, payload, traceparent, due_at)
    VALUES (orders.sibling_id(o.id, 'release'), orders.sibling_id(o.id, 'release'), o.tenant, 'orders', 'order.release', 1,
            convert_to('{"order_id":"' || o.id || '"}', 'UTF8'), o.traceparent, NULL)
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER expired AFTER INSERT OR UPDATE ON orders.effect
    FOR EACH ROW WHEN (NEW.step = '' AND NEW.outcome = 'expired') EXECUTE FUNCTION orders.on_expired();

-- What the module itself may not do.
REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON orders.state_edge FROM penstock_orders;

-- What GET /v1/orders/{id} shows; new_status and new_version: as it will be after the statement that is being prepared.
CREATE OR REPLACE FUNCTION orders.order_view(o orders.orders, new_status text, new_version bigint) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT row_to_json(v)::text FROM (
        SELECT o.id AS order_id, new_status AS status, new_version AS version, o.customer_id, o.currency, o.total AS total_minor,
               (SELECT json_agg(l) FROM (SELECT line_no, sku, title, qty, unit_minor, line_total AS total_minor
                                         FROM orders.order_line WHERE order_id = o.id ORDER BY line_no) l) AS lines,
               o.payment_id, to_char(o.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS created_at,
               (SELECT coalesce(json_agg(t), '[]') FROM (
                   SELECT to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS at, type AS event
                   FROM orders.event_outbox WHERE aggregate_id = o.id ORDER BY aggregate_version) t) AS timeline) v
$$;
