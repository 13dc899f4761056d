"""The accounts that `penstock migrate` makes: each sees what is its own, and nothing else."""
import re

import psycopg
import pytest
import redis
from psycopg import errors
from redis.backoff import NoBackoff
from redis.retry import Retry

from penstock_client import FUNCTIONS
from penstock_ops import ROOT
from penstock_ops.ports import HOST

MODULES = ("orders", "payments", "notifications", "custom")
PROCESSES = ("api", "worker", "scheduler")
WAYS = {  # privilege: a statement that needs it, and changes nothing if it may be run
    "SELECT": "SELECT count(*) FROM {table}",
    "INSERT": "INSERT INTO {table} ({column}) SELECT {column} FROM {table} WHERE false",
    "UPDATE": "UPDATE {table} SET {column} = {column} WHERE false",
    "DELETE": "DELETE FROM {table} WHERE false",
    "TRUNCATE": "TRUNCATE {table}",
}
ELSEWHERE = "pen:{default:0}:s"


def granted() -> dict[tuple[str, str], dict[str, str]]:
    """(role, table of platform) → privilege → columns, empty for all: the table that migrate goes by."""
    text = (ROOT / "ops" / "cli" / "roles.def").read_text(encoding="utf-8")
    rows = re.findall(r'^GRANT\((\w+), "([^"]+)", "(\w+)"\)$', text, re.M)
    assert len(rows) == text.count("\nGRANT(")
    return {(role, table): {p: columns for p, columns in re.findall(r"([A-Z]+)(?: \(([^)]*)\))?", what)} for role, what, table in rows}


def tables(stack) -> dict[str, list[str]]:
    """schema.table → its columns, but for those that Postgres fills."""
    rows = stack.sql("SELECT table_schema || '.' || table_name, array_agg(column_name::text ORDER BY ordinal_position) "
                     "FROM information_schema.columns WHERE table_schema = ANY(%s) AND is_identity = 'NO' AND is_generated = 'NEVER' GROUP BY 1", ["platform", *MODULES])
    assert {table.split(".")[0] for table, _ in rows} == {"platform", *MODULES}
    return dict(rows)


@pytest.fixture
def log_in(stack):
    """log_in(role): a connection under its account."""
    opened = []

    def connect(role: str) -> psycopg.Connection:
        opened.append(psycopg.connect(stack.postgres.url, user=f"penstock_{role}", password=stack.secrets.value("postgres"), autocommit=True))
        return opened[-1]

    yield connect
    for db in opened:
        db.close()


def may(db: psycopg.Connection, table: str, column: str, privilege: str) -> bool:
    try:
        with db.transaction(force_rollback=True):
            db.execute(WAYS[privilege].format(table=table, column=column))
    except errors.InsufficientPrivilege as e:
        assert e.sqlstate == "42501"
        return False
    except errors.CheckViolation:
        pass  # it got past the door: a trigger refused it
    return True


def test_accounts__so_far_nobody_asked_for_more_than_it_may(stack):
    """On this stack other tests have had everything done. First of this file, whose other tests ask on purpose."""
    refused = [(entry["username"], entry["object"]) for entry in stack.redis_client().acl_log()
               if entry["username"].startswith("penstock_") and entry["reason"] != "auth"]  # a password that a test gave, wrong on purpose
    assert [ask for ask in refused if ask[1] != "client|setinfo"] == []  # redis-py's, where a test has logged in as one of them
    assert "permission denied" not in stack.postgres.log.read_text(encoding="utf-8", errors="replace")


@pytest.mark.parametrize("role", MODULES)
def test_postgres__a_module_sees_its_own_schema_alone(stack, log_in, role):
    db = log_in(role)
    for table, columns in tables(stack).items():
        mine = table.startswith(f"{role}.")
        allowed = {privilege for privilege in WAYS if may(db, table, columns[0], privilege)}
        assert "SELECT" in allowed if mine else not allowed, (table, allowed)
        assert "TRUNCATE" not in allowed


@pytest.mark.parametrize("role", PROCESSES)
def test_postgres__a_process_sees_of_the_platform_what_the_table_says(stack, log_in, role):
    db, grants = log_in(role), granted()
    for table, columns in tables(stack).items():
        schema, name = table.split(".")
        wanted = grants.get((role, name), {}) if schema == "platform" else {}
        for privilege in WAYS:
            whole = privilege in wanted and not wanted[privilege]
            parts = wanted.get(privilege, "").split(", ") if wanted.get(privilege) else []
            for column in columns if privilege == "UPDATE" else columns[:1]:
                assert may(db, table, column, privilege) == (whole or column in parts), (table, column, privilege)


def test_postgres__what_is_booked_stays_booked(stack, log_in):
    db = log_in("payments")
    column = tables(stack)["payments.ledger_entry"][0]
    assert may(db, "payments.ledger_entry", column, "INSERT")
    for privilege in ("UPDATE", "DELETE", "TRUNCATE"):
        assert not may(db, "payments.ledger_entry", column, privilege)


@pytest.mark.parametrize("role", [*MODULES, *PROCESSES])
@pytest.mark.parametrize("statement", ["CREATE SCHEMA mine", "CREATE TABLE public.mine (x int)", "CREATE ROLE mine", "SELECT pg_reload_conf()",
                                       "SELECT * FROM pg_authid", "COPY (SELECT 1) TO PROGRAM 'true'"])
def test_postgres__nobody_is_more_than_a_user(log_in, role, statement):
    with pytest.raises(errors.InsufficientPrivilege):
        log_in(role).execute(statement)


def test_postgres__without_the_password_nobody_comes_in(stack):
    for role in (*MODULES, *PROCESSES):
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(stack.postgres.url, user=f"penstock_{role}", password="guessed").close()


# Redis

def user(stack, role: str, password: str = "") -> redis.Redis:
    return redis.Redis(host=HOST, port=stack.redis.port, username=f"penstock_{role}", password=password or stack.secrets.value("redis"),
                       protocol=2, retry=Retry(NoBackoff(), 0))


def test_redis__the_users_are_those_of_the_table_and_the_administrator(stack):
    admin = stack.redis_client()
    assert set(admin.acl_users()) == {"default", "admin", *(f"penstock_{role}" for role in PROCESSES)}
    assert "off" in admin.acl_getuser("default")["flags"]
    for role in PROCESSES:
        said = admin.acl_getuser(f"penstock_{role}")
        assert "nopass" not in said["flags"] and not said["keys"] and not said["channels"]  # rights are in selectors alone
        assert user(stack, role).ping()
        with pytest.raises(redis.AuthenticationError):
            user(stack, role, "guessed").ping()


@pytest.mark.parametrize("role", PROCESSES)
@pytest.mark.parametrize("command", [
    ("FLUSHALL",), ("CONFIG", "GET", "*"), ("KEYS", "*"), ("SCAN", "0"), ("ACL", "LIST"), ("FUNCTION", "FLUSH"),
    ("REPLICAOF", "NO", "ONE"), ("SHUTDOWN", "NOSAVE"), ("MONITOR",), ("EVAL", "return 1", "0"), ("DEL", ELSEWHERE), ("GET", "other"),
    ("SET", "other", "1"), ("PUBLISH", "other", "x"), ("SUBSCRIBE", "other"), ("CLIENT", "KILL", "ID", "1"),
], ids=lambda command: command[0] + (f"-{command[1]}" if len(command) > 1 else ""))
def test_redis__what_no_role_needs_is_refused(stack, role, command):
    with pytest.raises(redis.exceptions.NoPermissionError):
        user(stack, role).execute_command(*command)


# One that another role needs: not even with the right keys.
FOREIGN = {"api": ("settle", "epoch"), "worker": ("due_now", "promote"), "scheduler": ("enqueue", "sweep")}


@pytest.mark.parametrize("role,function", [(role, f) for role, functions in FOREIGN.items() for f in functions])
def test_redis__a_function_of_another_role_is_refused(stack, role, function):
    with pytest.raises(redis.exceptions.NoPermissionError):
        user(stack, role).execute_command("FCALL", f"pen_{function}_{FUNCTIONS}", 1, ELSEWHERE)


def test_producer__may_call_enqueue_and_nothing_else(stack):
    for role, member in ("shop_member", True), ("shop_stranger", False):
        stack.sql(f"DO $$BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN CREATE ROLE {role} LOGIN PASSWORD 'app'; END IF; END$$")
        if member:
            stack.sql(f"GRANT penstock_producer TO {role}")
        with psycopg.connect(stack.postgres.url, user=role, password="app", autocommit=True) as db:
            queries = ["SELECT platform.new_job_id(0, 1)", "SELECT count(*) FROM platform.job", "SELECT count(*) FROM platform.job_type",
                       "SELECT count(*) FROM custom.effect", "CREATE TABLE penstock.mine (a int)"]
            enqueue = "SELECT penstock.enqueue('demo.note', '{\"text\":\"a\"}')"
            if member:
                assert db.execute(enqueue).fetchone()[0]
            for query in queries if member else [enqueue, *queries]:
                with pytest.raises(errors.InsufficientPrivilege):
                    db.execute(query)
