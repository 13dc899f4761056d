CREATE TABLE IF NOT EXISTS checksum.found (
    root_id uuid PRIMARY KEY,
    tenant  text NOT NULL,
    url     text NOT NULL,
    sha256  text NOT NULL,
    bytes   bigint NOT NULL,
    at      timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS found_url ON checksum.found (tenant, url, at);
