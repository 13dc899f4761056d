"""The independent checker. It knows nothing of the code under test: it reads what producers were told, the tables, Redis, the simulator's
book, the webhooks and mails that arrived — and compares."""
import json
import time
from collections import Counter
from dataclasses import dataclass, field

import psycopg

from .chaos import Window
from .cluster import Cluster
from .load import Sent

JOURNAL_JOBS = {"note", "delayed", "retried", "dead"}
ORDERS = {"order", "order_capture", "order_declined"}
STREAM = {"tally", "slow", "dead_stream"}


@dataclass
class Verdict:
    problems: list[str] = field(default_factory=list)
    figures: dict[str, object] = field(default_factory=dict)

    def want(self, condition: bool, text: str) -> None:
        if not condition:
            self.problems.append(text)


class Check:
    def __init__(self, cluster: Cluster, sent: list[Sent], windows: list[Window], faults: int):
        self.cluster, self.sent, self.windows, self.faults = cluster, sent, windows, faults
        self.verdict = Verdict()
        self.db = psycopg.connect(cluster.postgres.admin_url, autocommit=True)

    def rows(self, sql: str, *values) -> list[tuple]:
        return self.db.execute(sql, values).fetchall()

    # Waiting for the end
    def open_work(self) -> dict[str, int]:
        """What is still to be done, by place; empty when all is quiet."""
        found = {"jobs": self.rows("SELECT count(*) FROM platform.job WHERE state = 'waiting'")[0][0]}
        for schema in ("orders", "payments", "notifications", "custom"):
            found[f"{schema}.job_outbox"] = self.rows(f"SELECT count(*) FROM {schema}.job_outbox")[0][0]
            found[f"{schema}.event_outbox"] = self.rows(f"SELECT count(*) FROM {schema}.event_outbox WHERE published_at IS NULL")[0][0]
        for queue in ("default", "orders", "payments", "notifications"):
            tag = "pen:{%s:0}" % queue
            found[f"{queue} stream"] = int(self.cluster.redis_do("XLEN", f"{tag}:s"))
            found[f"{queue} delayed"] = int(self.cluster.redis_do("ZCARD", f"{tag}:d"))
            found[f"{queue} parked"] = int(self.cluster.redis_do("HLEN", f"{tag}:p"))
            found[f"{queue} dead"] = int(self.cluster.redis_do("HLEN", f"{tag}:dead"))
        return {name: n for name, n in found.items() if n}

    def await_quiet(self, seconds: float) -> float:
        """How long it took; a problem when it did not come."""
        began = time.monotonic()
        quiet_since = 0.0
        left: dict[str, int] = {}
        while time.monotonic() - began < seconds:
            left = self.open_work()
            if left:
                quiet_since = 0.0
            elif not quiet_since:
                quiet_since = time.monotonic()
            elif time.monotonic() - quiet_since > 1.5:
                return quiet_since - began
            time.sleep(0.3)
        self.verdict.problems.append(f"not quiet after {seconds:.0f} s: {left}")
        return seconds

    # The promises
    def run(self) -> Verdict:
        acked = [s for s in self.sent if s.acked_at]
        refused = [s for s in acked if s.status >= 400 and not (s.kind == "order_declined" and s.status == 402)]
        self.verdict.figures |= {"sent": len(self.sent), "acknowledged": len(acked), "requests": sum(s.tries for s in self.sent)}
        self.verdict.want(not refused, f"{len(refused)} requests refused, first: {refused[:1]}")
        self.answered(acked)
        self.journal([s for s in acked if s.kind in JOURNAL_JOBS and s.status < 400])
        self.orders([s for s in acked if s.kind in ORDERS])
        self.stream([s for s in acked if s.kind in STREAM and s.status < 400])
        self.notifications([s for s in acked if s.kind in ("webhook", "email") and s.status < 400])
        self.dead()
        self.gap()
        self.db.close()
        return self.verdict

    def answered(self, acked: list[Sent]) -> None:
        unanswered = [s for s in self.sent if not s.acked_at]
        self.verdict.figures["unanswered"] = len(unanswered)
        self.verdict.want(not unanswered, f"{len(unanswered)} requests were never answered, first: {unanswered[:1]}")
        for s in acked:
            for status, answer in s.repeats:
                one, two = job_id(s.answer), job_id(answer)
                forgotten = s.kind in STREAM and self.windows  # the dedupe of this class goes with its Redis
                self.verdict.want(one == two or one is None or two is None or forgotten,
                                  f"key {s.key} of {s.kind}: answers name two jobs, {one} and {two}")
                if s.kind in JOURNAL_JOBS:
                    self.verdict.want(answer == s.answer, f"key {s.key}: a repeated 202 differs: {s.answer} and {answer}")

    def journal(self, jobs: list[Sent]) -> None:
        states = dict(self.rows("SELECT id::text, state FROM platform.job"))
        notes = Counter(dict(self.rows("SELECT root_id::text, count(*) FROM custom.note WHERE text <> 'tally' GROUP BY 1")))
        want = {"note": "done", "delayed": "done", "retried": "done", "dead": "dead"}
        lost = [s for s in jobs if states.get(s.answer.get("id")) != want[s.kind]]
        writes = [s for s in jobs if s.kind in ("note", "delayed")]
        doubled = {root: n for root, n in notes.items() if n > 1}
        missing = [s for s in writes if notes[s.answer["id"]] != 1]
        keys = dict(self.rows("SELECT job_id::text, key FROM platform.idempotency"))
        strangers = [root for root in notes if root not in keys and states.get(root) is not None]
        self.verdict.figures |= {"journal accepted": len(jobs), "journal lost": len(lost), "journal doubled": len(doubled)}
        self.verdict.want(not lost, f"journal: {len(lost)} jobs did not end as they should, first: "
                                    f"{[(s.kind, s.answer.get('id'), states.get(s.answer.get('id'))) for s in lost[:3]]}")
        self.verdict.want(not doubled, f"journal: effects doubled: {list(doubled.items())[:3]}")
        self.verdict.want(not missing, f"journal: {len(missing)} effects not there exactly once")
        self.verdict.want(not strangers, f"journal: {len(strangers)} effects of jobs without their key: a request made two jobs")

    def orders(self, jobs: list[Sent]) -> None:
        book = [json.loads(line) for line in self.cluster.sim.book.read_text().splitlines()]
        by_reference: dict[str, list[dict]] = {}
        for entry in book:
            by_reference.setdefault(entry["reference"], []).append(entry)
        twice = {r: e for r, e in by_reference.items() if len(e) > 1}
        self.verdict.want(not twice, f"the provider booked {len(twice)} references twice, first: {list(twice.items())[:1]}")
        placed = {r[0]: r[1:] for r in self.rows("SELECT customer_id, id::text, status, total FROM orders.orders")}
        counts = Counter(self.rows("SELECT customer_id FROM orders.orders"))
        lost = [s for s in jobs if s.body["customer_id"] not in placed]
        self.verdict.want(not lost, f"{len(lost)} orders are not there, first: {lost[:1]}")
        self.verdict.want(max(counts.values(), default=1) == 1, "a request made two orders")
        want = {"order": "confirmed", "order_capture": "confirmed", "order_declined": "payment_failed"}
        odd = [(s.kind, placed[s.body["customer_id"]][1]) for s in jobs
               if s.body["customer_id"] in placed and placed[s.body["customer_id"]][1] != want[s.kind]]
        self.verdict.want(not odd, f"orders ended otherwise: {Counter(odd)}")
        self.money(by_reference, placed)

    def money(self, by_reference: dict, placed: dict) -> None:
        """Every authorisation in the book belongs to one confirmed order, and the other way round; captures likewise."""
        ops = self.rows("SELECT o.id::text, o.kind, o.state, o.amount, p.order_id::text FROM payments.payment_op o "
                        "JOIN payments.payment p ON p.id = o.payment_id")
        confirmed = {order_id for order_id, status, _ in placed.values() if status == "confirmed"}
        charged = Counter()
        for op_id, kind, state, amount, order_id in ops:
            entries = by_reference.pop(op_id, [])
            self.verdict.want(state in ("succeeded", "declined", "canceled"), f"operation {op_id} ({kind}) is left {state}")
            self.verdict.want(bool(entries) == (state == "succeeded"), f"operation {op_id} ({kind}) is {state}, the book has {len(entries)}")
            self.verdict.want(all(e["amount"] == amount for e in entries), f"operation {op_id}: the book has another amount")
            if kind == "authorize" and entries:
                charged[order_id] += len(entries)
        self.verdict.want(not by_reference, f"the book has {len(by_reference)} entries that no operation of ours explains")
        self.verdict.want(set(charged) == confirmed and all(n == 1 for n in charged.values()),
                          f"{len(confirmed)} confirmed orders, {sum(charged.values())} charges")
        uneven = self.rows("SELECT count(*) FROM (SELECT op_id FROM payments.ledger_entry GROUP BY 1 HAVING sum(amount) <> 0) x")[0][0]
        self.verdict.want(uneven == 0, f"{uneven} ledger entries do not balance")
        self.verdict.figures |= {"orders confirmed": len(confirmed), "charges": sum(charged.values())}

    def stream(self, jobs: list[Sent]) -> None:
        runs = Counter(dict(self.rows("SELECT root_id::text, count(*) FROM custom.note WHERE text = 'tally' GROUP BY 1")))
        lost = [s for s in jobs if runs[s.answer["id"]] == 0]
        excused = [s for s in lost if any(w.begin <= s.acked_at and s.begun_at <= w.end for w in self.windows)]  # entered somewhen between
        repeats = sum(n - 1 for n in runs.values() if n > 1)
        self.verdict.figures |= {"stream accepted": len(jobs), "stream lost": len(lost) - len(excused),
                                 "stream lost with Redis": len(excused), "stream repeated": repeats}
        unexcused = [(s.kind, s.answer["id"], round(s.begun_at, 1), round(s.acked_at, 1)) for s in lost if s not in excused]
        windows = [(round(w.begin, 1), round(w.end, 1)) for w in self.windows]
        self.verdict.want(not unexcused, f"stream: {len(unexcused)} jobs never ran: {unexcused[:5]}; Redis lost things in {windows}")
        self.verdict.want(self.faults > 0 or repeats == 0, f"stream: {repeats} repeated runs without any fault")

    def notifications(self, jobs: list[Sent]) -> None:
        hooks = Counter(json.loads(line)["webhook_id"] for line in lines_of(self.cluster.sim.book.with_name("book.hooks")))
        mails = Counter(m["message_id"].strip("<>").split("@")[0] for m in self.cluster.mail.mails())
        for channel, kind, seen in (("webhook", "notify.webhook", hooks), ("email", "notify.email", mails)):
            wanted = {r[0] for r in self.rows("SELECT root_id::text FROM platform.job WHERE type = %s AND state = 'done'", kind)}
            dead = self.rows("SELECT count(*) FROM platform.job WHERE type = %s AND state <> 'done'", kind)[0][0]
            self.verdict.want(dead == 0, f"{dead} {channel} jobs did not end well")
            self.verdict.want(wanted == set(seen), f"{channel}: {len(wanted - set(seen))} never arrived, {len(set(seen) - wanted)} of no job of ours")
            repeats = sum(n - 1 for n in seen.values())
            self.verdict.figures |= {f"{channel} jobs": len(wanted), f"{channel} repeats": repeats}
            self.verdict.want(self.faults > 0 or repeats == 0, f"{channel}: {repeats} repeats without any fault")
        confirmed = self.rows("SELECT count(*) FROM orders.orders WHERE status = 'confirmed'")[0][0]
        own = {kind: sum(1 for s in jobs if s.kind == kind) for kind in ("webhook", "email")}
        for kind in ("webhook", "email"):
            made = self.rows("SELECT count(*) FROM platform.job WHERE type = %s", f"notify.{kind}")[0][0]
            self.verdict.want(made >= confirmed + own[kind], f"{made} {kind} jobs for {confirmed} confirmed orders and {own[kind]} requests")

    def dead(self) -> None:
        healthy = self.rows("SELECT type, count(*) FROM platform.dead_job WHERE NOT (type = 'demo.fail' AND convert_from(payload, 'UTF8') LIKE '%%permanent%%') "
                            "AND NOT (type = 'demo.tally' AND convert_from(payload, 'UTF8') LIKE '%%fail%%') GROUP BY 1")
        self.verdict.figures["healthy dead"] = sum(n for _, n in healthy)
        self.verdict.want(not healthy, f"healthy jobs are dead: {healthy}")

    def gap(self) -> None:
        import re
        import urllib.request
        end, gaps = time.monotonic() + 25, []
        while time.monotonic() < end:  # the auditor comes by every ten seconds
            with urllib.request.urlopen(self.cluster.api_url + "/metrics", timeout=5) as answer:
                text = answer.read().decode()
            gaps = [float(v) for v in re.findall(r"^penstock_conservation_gap\{[^}]*\} (\S+)$", text, re.M)]
            if gaps and not any(gaps):
                break
            time.sleep(1)
        self.verdict.figures["conservation gap"] = sum(gaps) if gaps else "not shown"
        self.verdict.want(bool(gaps) and not any(gaps), f"conservation_gap: {gaps}")


def stream_jobs_left(cluster: Cluster, sent: list[Sent]) -> int:
    """Acknowledged stream-class jobs that have not run yet."""
    with psycopg.connect(cluster.postgres.admin_url) as db:
        ran = {row[0] for row in db.execute("SELECT DISTINCT root_id::text FROM custom.note WHERE text = 'tally'")}
    return sum(1 for s in sent if s.kind in STREAM and s.acked_at and s.status < 400 and s.answer["id"] not in ran)


def job_id(answer: dict) -> str | None:
    return answer.get("id") or answer.get("order_id") or answer.get("notification_id")


def lines_of(path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []
