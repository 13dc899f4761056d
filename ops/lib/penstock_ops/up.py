"""ops/up: everything on this machine, below .run/."""
import argparse
import fcntl
import os
import shlex
import signal
import sys
import time
from urllib.parse import urlsplit, urlunsplit

from . import RUN, Problem, down, first_order, penstock, processes
from .build import build, folder
from .mail_sink import MailSink
from .postgres_server import Postgres
from .processes import Server
from .redis_server import Redis
from .settings import Secrets, write_conf, write_private
from .steps import say, step

ROLES = ("api", "scheduler", "worker")
ADDRESSES = RUN / "addresses"
ENV = RUN / "env"  # what the operators' commands need, for a shell to source
ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
CRASHES, CRASH_SECONDS = 3, 30  # a program that ends this often in this time is not started again


def port_from(variable: str, default: int) -> int:
    text = os.environ.get(variable, str(default))
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise Problem(f"{variable}={text} is no port")
    return int(text)


def without_user(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def is_own(kind: str) -> bool:
    return f"PENSTOCK_{kind}_URL" in os.environ


class _Own:
    """A server of the user's own: named by PENSTOCK_<KIND>_URL, administrated by PENSTOCK_ADMIN_<KIND>_URL or the same."""

    def __init__(self, kind: str, default_port: int):
        variable = f"PENSTOCK_{kind}_URL"
        given = os.environ[variable]
        self.url = without_user(given)
        self.admin_url = os.environ.get(f"PENSTOCK_ADMIN_{kind}_URL", given)
        parts = urlsplit(given)
        if parts.hostname and not penstock.connects(parts.hostname, parts.port or default_port, 3):
            where = f"{parts.hostname}:{parts.port or default_port}"
            raise Problem(f"nothing answers at {where}: start it, or change or unset {variable}")


class Plan:
    """What is to run, each with its port."""

    def __init__(self):
        self.secrets = Secrets(RUN)
        self.settings = penstock.users_settings()
        self.redis = _Own("REDIS", 6379) if is_own("REDIS") else Redis(
            RUN, port_from("PENSTOCK_REDIS_PORT", 16379), self.secrets.value("redis-admin"))
        self.postgres = _Own("POSTGRES", 5432) if is_own("POSTGRES") else Postgres(
            RUN, port_from("PENSTOCK_POSTGRES_PORT", 15432), self.secrets.value("postgres-admin"))
        self.mail = MailSink(RUN, port_from("PENSTOCK_MAIL_PORT", 12525))
        binaries, self.conf = folder("release"), RUN / "penstock.conf"
        self.sim = penstock.Sim(RUN, binaries, self.secrets.file("provider"), port_from("PENSTOCK_SIM_PORT", 18090))
        listen = self.settings.get("PENSTOCK_API_LISTEN", "127.0.0.1:8080")
        self.api = penstock.Api(RUN, binaries, self.conf, listen, self.settings)
        self.others = [penstock.Role(RUN, binaries, role, self.conf, self.settings) for role in ("scheduler", "worker")]
        self.servers = [s for s in (self.redis, self.postgres, self.mail, self.sim) if isinstance(s, Server)]

    def write_conf(self) -> None:
        write_conf(self.conf, {
            "redis.url": self.redis.url,
            "redis.password_file": str(self.secrets.file("redis")),
            "postgres.url": self.postgres.url,
            "postgres.password_file": str(self.secrets.file("postgres")),
            "webhook.secret": self.secrets.value("webhook"),
            "webhook.allow_cidr": "127.0.0.0/8,::1/128",  # the simulator is the webhook sink
            "mail.url": self.mail.url,
            "payments.provider_url": self.sim.url,
            "payments.provider_secret": self.secrets.value("provider"),
        })

    def write_env(self) -> None:
        values = {"PENSTOCK_CONFIG": str(self.conf), "PENSTOCK_URL": self.api.url,
                  "PENSTOCK_ADMIN_POSTGRES_URL": self.postgres.admin_url, "PENSTOCK_ADMIN_REDIS_URL": self.redis.admin_url}
        write_private(ENV, "".join(f"export {name}={shlex.quote(value)}\n" for name, value in values.items()))

    def addresses(self) -> str:
        return (f"API        {self.api.url}   (dashboard at /ui/, OpenAPI at /openapi.json, metrics at /metrics)\n"
                f"simulator  {self.sim.url}   (payment provider and webhook sink)\n"
                f"settings   {self.conf}\n"
                f"logs       {RUN / 'log'}; mails in {RUN / 'mail' / 'mails'}\n"
                f"operators  . {ENV}; {self.api.binary} doctor\n")


def start(server: Server, started: list[Server]) -> None:
    with step(f"start {server.role}"):
        server.start()
    started.append(server)


def bring_up(plan: Plan, started: list[Server]) -> None:
    for server in (*plan.servers, plan.api):
        server.require_port()
    build("release")
    for server in plan.servers:
        start(server, started)
    plan.write_conf()
    plan.write_env()
    with step("migrate"):
        penstock.migrate(RUN, folder("release"), plan.conf, plan.postgres.admin_url, plan.redis.admin_url, plan.settings)
    for role in (plan.api, *plan.others):
        start(role, started)
    place_first_order(plan)
    ADDRESSES.write_text(plan.addresses(), encoding="utf-8")
    print("\n" + plan.addresses())


def place_first_order(plan: Plan) -> None:
    """What keeps it from running, a paused queue for one, is mended with the commands: so everything stays up."""
    try:
        first_order.place(plan.api.url, plan.sim.url)
    except Problem as problem:
        print(f"ops/up: warning: {problem}\nEverything is up. To see why: . {ENV}; {plan.api.binary} doctor; {plan.api.binary} queue "
              f"list (a paused queue goes on by {plan.api.binary} queue resume QUEUE)", file=sys.stderr)


def stop_all(started: list[Server]) -> None:
    while started:
        server = started.pop()
        with step(f"stop {server.role}"):
            server.stop()


def watch(started: list[Server]) -> None:
    """Until interrupted; what ends by itself is started again, as a service manager would."""
    ends: dict[str, list[float]] = {}
    while True:
        time.sleep(0.5)
        for server in started:
            if server.is_running():
                continue
            recent = [t for t in ends.get(server.role, []) if time.monotonic() - t < CRASH_SECONDS] + [time.monotonic()]
            ends[server.role] = recent
            how = f"{server.role} ended with {server.exit_code()}"
            processes.forget(RUN, server.pid)
            if len(recent) >= CRASHES:
                raise Problem(f"{how}, {CRASHES} times within {CRASH_SECONDS} s; its log is {server.log}")
            say(f"{how}; starting it again")
            server.start()


def wanted() -> set[str]:
    """All that is ours to run."""
    own = {kind.lower() for kind in ("REDIS", "POSTGRES") if is_own(kind)}
    return {*ROLES, MailSink.role, penstock.Sim.role, Redis.role, Postgres.role} - own


def is_up() -> bool:
    """True when all of them run. What is left of a run that did not end well is ended."""
    alive = processes.recorded(RUN)
    missing = wanted() - {role for role, _ in alive}
    if not missing:
        return True
    if alive:
        say(f"not running: {', '.join(sorted(missing))}; ending what is left, to start anew")
    for role, pid in reversed(alive):
        down.end(role, pid)
    return False


def say_up(how: str) -> int:
    say(f"{how}; ops/down ends it")
    if ADDRESSES.exists():
        say("\n" + ADDRESSES.read_text(encoding="utf-8"), end="")
    return 0


def interrupt(_signal, _frame) -> None:
    raise KeyboardInterrupt


def run(detach: bool) -> int:
    lock = open(RUN / "up.lock", "w", encoding="ascii")  # held until the end of this process
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return say_up("ops/up is at work already")
    if is_up():
        return say_up("already up")
    ADDRESSES.unlink(missing_ok=True)
    for sig in ENDINGS:
        if signal.getsignal(sig) != signal.SIG_IGN:  # nohup's choice holds
            signal.signal(sig, interrupt)
    started: list[Server] = []
    stays = False
    try:
        if not detach:
            processes.record(RUN, "up", os.getpid())
        bring_up(Plan(), started)
        stays = detach
        print("ops/down ends it" if detach else "Ctrl-C ends it", flush=True)
        if not detach:
            watch(started)
        return 0
    except KeyboardInterrupt:
        say("")
        return 0
    finally:
        if not stays:
            for sig in ENDINGS:
                signal.signal(sig, signal.SIG_IGN)
            stop_all(started)
            processes.forget(RUN, os.getpid())


def main() -> int:
    parser = argparse.ArgumentParser(prog="ops/up", description="Builds and starts everything on this machine, below .run/.")
    parser.add_argument("--detach", action="store_true", help="leave it running; ops/down ends it")
    arguments = parser.parse_args()
    os.chdir(RUN)  # which tells ops/down that this process is one of ours
    try:
        return run(arguments.detach)
    except Problem as problem:
        print(f"ops/up: {problem}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
