"""A real order by curl, as a producer would place it, and what became of it."""
import json
import os
import shlex
import subprocess
import time
import uuid

from . import Problem

SECONDS = 30


def _curl(arguments: list[str]) -> tuple[int, dict, str]:
    """(status, body, Location). The key, if there is one, goes by standard input: arguments are visible to others."""
    key = os.environ.get("PENSTOCK_KEY", "")
    header = f"Authorization: Bearer {key}\n" if key else ""
    shape = ["-w", "\n%{http_code} %header{location}"]
    made = subprocess.run(["curl", "-sS", "--noproxy", "*", "--max-time", str(SECONDS), "-H", "@-", *shape, *arguments],
                          input=header, capture_output=True, text=True, check=False)
    if made.returncode != 0:
        raise Problem(f"the first order: {made.stderr.strip()}")
    body, _, last = made.stdout.rpartition("\n")
    status, _, location = last.partition(" ")
    try:
        return int(status), json.loads(body), location
    except ValueError as e:
        raise Problem(f"the first order: answer {status} is no JSON: {body[:200]}") from e


def _order(sim_url: str) -> dict:
    return {
        "customer_id": "customer-1", "currency": "EUR",
        "lines": [{"sku": "mug-blue", "title": "Blue mug", "qty": 2, "unit_minor": 1250}],
        "payment": {"token": "tok_ok", "capture": True},
        "notify": {"email": "customer@example.com", "webhook_url": f"{sim_url}/hook/first-order"},
    }


def place(api_url: str, sim_url: str) -> None:
    key = str(uuid.uuid4())
    deadline = time.monotonic() + SECONDS
    request = ["-X", "POST", f"{api_url}/v1/orders", "-H", "Content-Type: application/json", "-H", f"Idempotency-Key: {key}",
               "--data", json.dumps(_order(sim_url))]
    print(f"\n$ curl {shlex.join(request)}")
    status, body, location = _curl(request)
    print(f"{status} {json.dumps(body)}")
    while body.get("state") == "waiting" and time.monotonic() < deadline:  # slower than the wait of the POST: ask its job
        _, body, _ = _curl([f"{api_url}{location}?wait=5s"])
    if body.get("state") == "waiting":
        raise Problem(f"the first order still waits after {SECONDS} s, as job {body['id']} of the queue {body['queue']}")
    if body.get("state") == "done":
        status, body = body["status"], body["result"]
    if status != 201:
        raise Problem(f"the first order was not placed: {json.dumps(body)}")
    _timeline(f"{api_url}/v1/orders/{body['order_id']}")


def _timeline(order_url: str) -> None:
    print(f"\n$ curl {order_url}")
    _, order, _ = _curl([order_url])
    for entry in order.pop("timeline", []):
        print("  " + "  ".join(str(value) for value in entry.values()) if isinstance(entry, dict) else f"  {entry}")
    print(json.dumps(order, indent=2))
