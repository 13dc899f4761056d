-- A message and what became of it. id is the job's root id, and the id the receiver sees.
CREATE TABLE IF NOT EXISTS notifications.notification (
    id         uuid PRIMARY KEY,
    tenant     text NOT NULL,
    channel    text NOT NULL CHECK (channel IN ('webhook', 'email')),
    recipient  text NOT NULL,
    status     text NOT NULL CHECK (status IN ('sending', 'sent', 'retrying', 'unknown')),
    attempts   int NOT NULL DEFAULT 1,
    last_error text,
    version    bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
