-- demo.note. Deliberately without a unique key: what keeps a note from being written twice is its effect row alone.
CREATE TABLE IF NOT EXISTS custom.note (
    root_id uuid NOT NULL,
    text    text NOT NULL,
    at      timestamptz NOT NULL DEFAULT now()
);
