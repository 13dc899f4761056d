"""Loopback ports."""
import random
import socket
import time

from . import Problem

HOST = "127.0.0.1"


def is_free(port: int, host: str = HOST) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind((host, port))
        except OSError:
            return False
        return True


def any_free() -> int:
    """A free port below the ephemeral range: there, a client that keeps connecting to a server that is down would in the
    end be given that very port as its own, and be connected to itself."""
    for port in random.sample(range(20000, 32000), 200):
        if is_free(port):
            return port
    raise Problem("no free loopback port between 20000 and 32000")


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
