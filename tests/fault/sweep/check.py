"""The independent checker. It knows nothing of the code under test: it reads what producers were told, the tables, Redis, the simulator's
book, the webhooks and mails that arrived — and compares."""
import json
import time
from collections import Counter
from dataclasses import dataclass, field

import psycopg

from .chaos import Window
from .cluster import Cluster, example_handlers
from .load import Sent

HANDLED = {f"handled_{name}" for name in example_handlers()}
JOURNAL_JOBS = {"note", "delayed", "retried", "dead"} | HANDLED
# Kinds of orders: what becomes of them when nobody cancels them, and whether their money is taken then.
ORDERS = {"order": ("confirmed", False), "order_capture": ("confirmed", True), "order_declined": ("payment_failed", False),
          "order_cancel": ("confirmed", False), "order_capture_cancel": ("confirmed", True), "order_refund": ("confirmed", False),
          "order_refund_cancel": ("confirmed", False)}
STREAM = {"tally", "slow", "dead_stream"}
STEPS = {"cancel", "capture", "refund", "refund_raced"}
MAY_BE_REFUSED = {"order_declined": (402,), "refund_raced": (409, 422)}  # raced: the cancellation was faster


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
        found = {"jobs": self.rows("SELECT count(*) FROM platform.job WHERE state = 'waiting'")[0][0],
                 "schedules": self.rows("SELECT count(*) FROM platform.schedule WHERE next_at <= now()")[0][0]}
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
        refused = [s for s in acked if s.status >= 400 and s.status not in MAY_BE_REFUSED.get(s.kind, ())]
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
                if s.kind in STEPS:
                    self.verdict.want(status != s.status or answer == s.answer, f"key {s.key} of {s.kind}: {s.answer}, then {answer}")
                    continue
                one, two = job_id(s.answer), job_id(answer)
                forgotten = s.kind in STREAM and self.windows  # the dedupe of this class goes with its Redis
                self.verdict.want(one == two or one is None or two is None or forgotten,
                                  f"key {s.key} of {s.kind}: answers name two jobs, {one} and {two}")
                if s.kind in JOURNAL_JOBS:
                    self.verdict.want(answer == s.answer, f"key {s.key}: a repeated 202 differs: {s.answer} and {answer}")

    def journal(self, jobs: list[Sent]) -> None:
        states = dict(self.rows("SELECT id::text, state FROM platform.job"))
        notes = Counter(dict(self.rows("SELECT root_id::text, count(*) FROM custom.note WHERE text <> 'tally' GROUP BY 1")))
        want = {"note": "done", "delayed": "done", "retried": "done", "dead": "dead", **dict.fromkeys(HANDLED, "done")}
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
        miscounted = self.rows("SELECT count(*) FROM platform.job WHERE type LIKE 'count.%%' AND state = 'done' "
                               "AND convert_from(result, 'UTF8')::jsonb <> '{\"words\": 3}'")[0][0]
        self.verdict.figures["handled"] = sum(1 for s in jobs if s.kind in HANDLED)
        self.verdict.want(miscounted == 0, f"journal: {miscounted} jobs have another result than their handler's")
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
        there = [(s, *placed[s.body["customer_id"]]) for s in jobs if s.body["customer_id"] in placed]
        odd = [(s.kind, status) for s, _, status, _ in there if status != ("canceled" if is_canceled(s) else ORDERS[s.kind][0])]
        self.verdict.want(not odd, f"orders ended otherwise: {Counter(odd)}")
        self.verdict.figures |= {kind.replace("_", " "): n for kind, n in sorted(Counter(s.kind for s in jobs).items())}
        self.money(by_reference, placed)
        self.accounts(book, there)

    def money(self, by_reference: dict, placed: dict) -> None:
        """Every entry in the book belongs to one operation of ours, and the other way round; every confirmed order was charged once, and
        but for canceled ones no other."""
        ops = self.rows("SELECT o.id::text, o.kind, o.state, o.amount, p.order_id::text FROM payments.payment_op o "
                        "JOIN payments.payment p ON p.id = o.payment_id")
        confirmed, canceled = ({order_id for order_id, now, _ in placed.values() if now == status} for status in ("confirmed", "canceled"))
        charged = Counter()
        for op_id, kind, state, amount, order_id in ops:
            entries = by_reference.pop(op_id, [])
            self.verdict.want(state in ("succeeded", "declined", "canceled"), f"operation {op_id} ({kind}) is left {state}")
            self.verdict.want(bool(entries) == (state == "succeeded"), f"operation {op_id} ({kind}) is {state}, the book has {len(entries)}")
            self.verdict.want(all(e["amount"] == amount for e in entries), f"operation {op_id}: the book has another amount")
            if kind == "authorize" and entries:
                charged[order_id] += len(entries)
        self.verdict.want(not by_reference, f"the book has {len(by_reference)} entries that no operation of ours explains")
        self.verdict.want(confirmed <= set(charged) <= confirmed | canceled and all(n == 1 for n in charged.values()),
                          f"{len(confirmed)} confirmed and {len(canceled)} canceled orders, {sum(charged.values())} charges")
        uneven = self.rows("SELECT count(*) FROM (SELECT op_id FROM payments.ledger_entry GROUP BY 1 HAVING sum(amount) <> 0) x")[0][0]
        self.verdict.want(uneven == 0, f"{uneven} ledger entries do not balance")
        self.verdict.figures |= {"orders confirmed": len(confirmed), "orders canceled": len(canceled), "charges": sum(charged.values())}

    def authorizations(self, book: list[dict]) -> dict[str, Counter]:
        """The book's sums by operation for each authorization. It is captured and voided once at the most, and at no line of the book was more
        taken than was held, or more given back than was taken."""
        sums: dict[str, Counter] = {}
        times: Counter = Counter()
        for entry in book:
            reference = entry["provider_ref"] if entry["op"] == "authorize" else entry["parent"]
            b = sums.setdefault(reference, Counter())
            b[entry["op"]] += entry["amount"]
            times[reference, entry["op"]] += 1
            fits = b["capture"] + b["void"] <= b["authorize"] and b["refund"] <= b["capture"]
            self.verdict.want(fits, f"authorization {reference}: after {entry} its sums are {dict(b)}")
        twice = [key for key, n in times.items() if n > 1 and key[1] != "refund"]
        self.verdict.want(not twice, f"{len(twice)} authorizations were captured or voided twice, first: {twice[:1]}")
        total = Counter(op for _, op in times.elements())
        self.verdict.figures |= {"captures": total["capture"], "voids": total["void"], "refunds": total["refund"]}
        return sums

    def accounts(self, book: list[dict], there: list[tuple]) -> None:
        """By the book alone: what is held and what was taken, of each order, is what was asked for; of canceled ones it is nothing. And our
        own sums say the same."""
        booked = self.authorizations(book)
        own = self.rows("SELECT order_id::text, provider_ref, status, authorized, captured, voided, refunded, capture_pending + refund_pending "
                        "FROM payments.payment")
        sums = {}
        for order, reference, status, *ours, pending in own:
            b = booked.get(reference, Counter())
            sums[order] = b
            self.verdict.want(pending == 0 and status != "frozen", f"the payment of order {order} is {status}, {pending} pending")
            self.verdict.want(ours == [b["authorize"], b["capture"], b["void"], b["refund"]], f"order {order}: {ours} here, {dict(b)} in the book")
        ledger = dict(self.rows("SELECT p.order_id::text, sum(l.amount)::bigint FROM payments.ledger_entry l JOIN payments.payment_op o "
                                "ON o.id = l.op_id JOIN payments.payment p ON p.id = o.payment_id WHERE l.account = 'provider_receivable' GROUP BY 1"))
        for s, order, status, total in there:
            b = sums.get(order, Counter())
            held, taken = b["authorize"] - b["capture"] - b["void"], b["capture"] - b["refund"]
            if status == "canceled":
                want = (0, 0)
            elif status == "confirmed":
                kept = total - sum(step.body["amount_minor"] for step in s.steps if step.kind == "refund" and step.acked_at)
                captures = ORDERS[s.kind][1] or any(step.kind == "capture" and step.acked_at for step in s.steps)
                want = (0, kept) if captures else (total, 0)
            else:
                continue
            self.verdict.want((held, taken) == want, f"{s.kind} {order} is {status}: {held} held and {taken} taken, not {want}; {dict(b)}")
            self.verdict.want(ledger.get(order, 0) == taken, f"order {order}: the ledger has {ledger.get(order, 0)}, the provider {taken}")

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


def is_canceled(sent: Sent) -> bool:
    return any(step.kind == "cancel" and step.acked_at for step in sent.steps)


def job_id(answer: dict) -> str | None:
    return answer.get("id") or answer.get("order_id") or answer.get("notification_id")


def lines_of(path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []
