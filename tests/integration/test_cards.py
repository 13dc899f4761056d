"""Card numbers where people put them by mistake: refused, and then nowhere — not in Redis's log, not in Postgres (tables and files), not in any
process's log, not at the provider, in no mail."""
import json
import re
from pathlib import Path

import psycopg
import pytest

from stack import Client, Stack, new_key, order, problem

CARDS = ("4111111111111111", "5555555555554444", "378282246310005", "6011111111111117", "3530111333300000", "4222222222222")
# What issuers give out, so that a time in µs is none; 17 digits and more are left to the cards above, since a random int64 may pass Luhn's test.
ISSUED = re.compile(rb"(?<![0-9A-Za-z._-])(?:4\d{12}(?:\d{3})?|(?:5[1-5]|2[2-7]|6[0245]|35)\d{14}|3[47]\d{13})(?![0-9A-Za-z._-])")
TEXT = re.compile(rb"(?<=\d)[ -](?=\d)")


def luhn(digits: bytes) -> bool:
    odd, even = digits[-1::-2], digits[-2::-2]
    return (sum(d - 48 for d in odd) + sum(sum(divmod(2 * (d - 48), 10)) for d in even)) % 10 == 0


def cards_in(data: bytes) -> set[bytes]:
    """The numbers that were sent, however they are parted, and any other that a card may have."""
    joined = TEXT.sub(b"", data)
    sent = {card.encode() for card in CARDS if card.encode() in joined}
    return sent | {m[0] for m in ISSUED.finditer(data) if luhn(m[0])}


def spellings(card: str) -> list[str]:
    fours = [card[i : i + 4] for i in range(0, len(card), 4)]
    return [card, " ".join(fours), "-".join(fours), f"tok-{card}", f"card {card}, thanks"]


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    made = Stack(tmp_path_factory.mktemp("cards"))
    try:
        yield made.start()
    finally:
        made.stop()


def put_everywhere(client: Client, text: str) -> None:
    problem(client.post("/v1/orders", order(payment={"token": text}), new_key()), 422, "invalid")
    problem(client.post("/v1/jobs", {"type": "order.place", "payload": order(payment={"token": text})}, new_key()), 422, "invalid")
    line = json.dumps({"type": "order.place", "key": new_key(), "payload": order(payment={"token": text})}) + "\n"
    batch = client.ask("POST", "/v1/jobs:batch", data=line, headers={"Content-Type": "application/x-ndjson"})
    assert [json.loads(one)["status"] for one in batch.text.splitlines()] == [422], batch.text
    for refused in (client.get(f"/v1/orders/{text}"), client.get(f"/v1/jobs?cursor={text}&number={text}"), client.get(f"/{text}"),
                    client.post("/v1/orders", order(**{text: 1}), new_key()),
                    client.ask("POST", "/v1/orders", data=f'{{"payment": {{"token": "{text}"', headers={"Content-Type": "application/json"}),
                    client.ask("GET", "/v1/queues", headers={"Authorization": f"Bearer {text}"})):
        assert 400 <= refused.status_code < 500, (refused.request.url, refused.status_code, refused.text)
    client.ask("GET", "/v1/queues", headers={"User-Agent": text, "X-Card": text, "traceparent": text, "X-Request-Id": text})


def kept(stack) -> dict[str, bytes]:
    """Everything that outlives a request, by name. Postgres's files too: a row that was rolled back is still in them."""
    stack.sql("CHECKPOINT")
    folders = [stack.redis.dir, stack.postgres.run_dir / "postgres", stack.dir / "log", stack.dir / "mail", stack.dir / "sim"]
    files = [p for folder in folders for p in Path(folder).rglob("*") if p.is_file()]
    found = {str(p): p.read_bytes() for p in files}
    with psycopg.connect(stack.postgres.admin_url, autocommit=True, options="-c bytea_output=escape") as db:
        names = db.execute("SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables WHERE schemaname !~ '^(pg_|information_)'")
        for (name,) in names.fetchall():
            found[name] = "\n".join(row[0] for row in db.execute(f"SELECT t::text FROM {name} t")).encode()
    return found


def test_cards__put_everywhere_then_nowhere_afterwards(stack):
    client = Client(stack.api.url)
    good = client.post("/v1/orders", order(), new_key())
    assert good.status_code == 201
    for card in CARDS:
        for text in spellings(card):
            put_everywhere(client, text)
    payment = good.json()["payment_id"]
    problem(client.post(f"/v1/payments/{payment}/refunds", {"amount_minor": 5, "reason": f"card {CARDS[0]}"}, new_key()), 422, "invalid")
    places = kept(stack)
    assert {"orders.placed", "platform.job"} & set(places) and any("appendonly" in name for name in places)
    assert {name: cards for name, data in places.items() if (cards := cards_in(data))} == {}


def test_cards__the_search_finds_what_it_is_to_find():
    for card in CARDS:
        for text in spellings(card):
            assert cards_in(f'{{"a":"{text}"}}'.encode()) == {card.encode()}, text
    assert cards_in(b'"4012888888881881" 4111111111111112 1764390000000000 ab4111111111111111') == {b"4012888888881881", b"4111111111111111"}
