"""Loopback ports."""
import fcntl
import os
import random
import socket
import tempfile
import time

from . import Problem

HOST = "127.0.0.1"

given: set[int] = set()  # by any_free, to this process
lock_file: int | None = None


def is_free(port: int, host: str = HOST) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind((host, port))
        except OSError:
            return False
        return True


def candidates() -> list[int]:
    """Below and above the ephemeral range: in it, a client that keeps connecting to a server that is down would in the end be
    given that very port as its own, and be connected to itself."""
    with open("/proc/sys/net/ipv4/ip_local_port_range") as f:
        low, high = (int(word) for word in f.read().split())
    outside = [port for port in range(20000, 65000) if not low <= port <= high]
    return outside if len(outside) > 1000 else list(range(20000, 65000))


def reserve(port: int) -> bool:
    """False when this process was given the port before, or another process of this user that still runs: a port is free until
    its server starts, and is drawn long before. One lock of a byte for each port; the system gives them up with the process."""
    global lock_file
    if lock_file is None:
        path = f"{tempfile.gettempdir()}/penstock-ports-{os.getuid()}"
        lock_file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.lockf(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    given.add(port)
    return True


def any_free() -> int:
    """A free port that nobody else is given while this process runs."""
    ports = candidates()
    random.shuffle(ports)
    for port in ports:
        if port not in given and is_free(port) and reserve(port):
            return port
    raise Problem("no free loopback port is left")


def require_free(port: int, what: str, variable: str, host: str = HOST) -> None:
    if not is_free(port, host):
        raise Problem(f"{host}:{port} ({what}) is taken: end what listens there, or set {variable} to a free one")


def wait_until(condition, seconds: float) -> bool:
    """Polls the condition; False when it did not come true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.02)
    return True
