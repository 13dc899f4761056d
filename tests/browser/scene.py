"""What the browser is shown: a private stack with orders, dead jobs whose errors are hostile, delayed jobs, a schedule."""
import hashlib
import json
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from penstock_ops import ports
from penstock_ops.penstock import Api
from stack import WAIT_S, Client, Stack, new_key, order

HOSTILE = "<script>globalThis.hit=1</script><img src=x onerror=globalThis.hit=2> \u202egnp.exe\u202c \u2066\u200f"
LONG = HOSTILE + "A" * 65536
ALL = ("view", "enqueue", "operate", "replay", "admin")
DEAD, DELAYED, ALONE = 5, 4, 3
LIVELY_S = 60


class Handler:
    """Refuses every attempt with a hostile text until it is mended."""

    def __init__(self):
        handler = self
        self.mended = False

        class Answers(BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                body = json.dumps({} if handler.mended else {"detail": HOSTILE}).encode()
                self.send_response(200 if handler.mended else 422)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer((ports.HOST, 0), Answers)
        self.url = f"http://{ports.HOST}:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


class Scene:
    def __init__(self, folder: Path):
        self.handler = Handler()
        types = folder / "types.conf"
        types.write_text("types = (" + ", ".join(f'{{ name = "{name}"; handler = "{self.handler.url}"; }}' for name in ("shop.flaky", "shop.alone")) + ");\n",
                         encoding="utf-8")
        self.stack = Stack(folder, {"handler.types": str(types), "handler.secret": "whsec_" + "QUFB" * 11, "handler.allow_cidr": "127.0.0.0/8"})
        self.open_api: Api | None = None

    def start(self) -> "Scene":
        self.stack.start()
        self.client = Client(self.stack.api.url)
        self.client.ask("PUT", "/v1/scale/bulk", json={"workers": 1})  # the stack has pinned it at none
        self.full_key, self.view_key = self.key(*ALL), self.key("view")
        folder = self.stack.dir / "open"
        folder.mkdir()
        self.open_api = Api(folder, self.stack.build, self.stack.conf, f"0.0.0.0:{ports.any_free()}")  # where keys are needed
        self.open_api.start()
        return self

    def stop(self) -> None:
        if self.open_api is not None:
            self.open_api.stop()
        self.stack.stop()
        self.handler.server.shutdown()

    def key(self, *scopes: str) -> str:
        key_id, secret = secrets.token_hex(6), secrets.token_hex(32)
        self.stack.sql("INSERT INTO platform.api_key (id, secret_hash, tenant, scopes, name) VALUES (%s, %s, 'default', %s, %s)", key_id,
                       hashlib.sha256(secret.encode()).digest(), list(scopes), f"console {HOSTILE}"[:64])
        return f"pen_{key_id}_{secret}"

    def dead(self, job_type: str, payload: dict) -> str:
        job = self.client.enqueue(job_type, payload)
        assert self.client.ended(job["id"])["state"] == "dead"
        return job["id"]

    def notification(self) -> str:
        answer = self.client.post("/v1/notifications", {"channel": "email", "to": "customer@example.com", "subject": HOSTILE[:60], "text": "Hello"}, new_key())
        assert answer.status_code in (200, 202), answer.text
        return answer.json().get("notification_id") or answer.json()["id"]

    def fill(self) -> dict:
        """Returns what the walk has to know."""
        client = self.client
        placed = client.post("/v1/orders", order(), new_key())
        assert placed.status_code == 201, placed.text
        dead = [self.dead("shop.flaky", {"n": n, "text": HOSTILE, "big": "B" * 60000 if n == 0 else ""}) for n in range(DEAD)]
        alone = [self.dead("shop.alone", {"n": n}) for n in range(ALONE)]
        self.stack.sql("UPDATE platform.dead_job SET errors = jsonb_build_array(jsonb_build_object('at_ms', (extract(epoch FROM now()) * 1000)::bigint, 'code', 'refused', 'detail', %s::text)) "
                       "WHERE id = %s", LONG, alone[0])
        delayed = [client.enqueue("demo.note", {"text": HOSTILE}, delay_ms=3_600_000)["id"] for _ in range(DELAYED)]
        done = client.enqueue("demo.note", {"text": "done"})["id"]
        client.ended(done)
        made = client.post("/v1/schedules", {"name": "nightly", "cron": "30 2 * * *", "type": "demo.note", "payload": {"text": HOSTILE}})
        assert made.status_code == 201, made.text
        return {
            "url": self.stack.api.url, "open_url": self.open_api.url, "key": self.full_key, "view_key": self.view_key,
            "dead": dead, "alone": alone, "delayed": delayed, "done": done, "order": placed.json()["order_id"], "payment": placed.json()["payment_id"],
            "notification": self.notification(),
        }

    def wait_seen(self) -> None:
        """Until the API has sampled what is dead."""
        assert ports.wait_until(lambda: self.client.get("/v1/queues/default").json()["depth"]["dead"] >= DEAD + ALONE, WAIT_S)

    def liven(self) -> None:
        """For pictures: orders and notes come in for a minute, a queue is paused with jobs in it, another has more workers."""
        client = self.client
        client.ask("PUT", "/v1/scale/orders", json={"workers": 2, "reason": "Black Friday"})
        client.post("/v1/queues/notifications/pause", {"reason": "the mail provider asked for an hour"})
        for n in range(LIVELY_S):
            ends = time.monotonic() + 1
            for _ in range(3 + n % 20 // 5 * 4):
                client.post("/v1/orders", order(notify={"email": "customer@example.com"}), new_key(), headers={"Prefer": "respond-async"})
                client.enqueue("demo.note", {"text": "hello"})
            time.sleep(max(0, ends - time.monotonic()))

    # What the walk asks for, by name.
    def do(self, what: str) -> None:
        {"mend": self.mend, "liven": self.liven, "calm": self.calm, "cut": self.stack.api.stop, "resume": self.stack.api.start,
         "freeze": self.stack.api.pause, "thaw": self.stack.api.resume, "revoke": self.revoke}[what]()

    def revoke(self) -> None:
        self.stack.sql("UPDATE platform.api_key SET revoked_at = now() WHERE id = %s", self.full_key.split("_")[1])

    def calm(self) -> None:
        self.client.post("/v1/queues/notifications/resume", {})
        self.client.ask("PUT", "/v1/scale/orders", json={"workers": "auto"})

    def mend(self) -> None:
        self.handler.mended = True
