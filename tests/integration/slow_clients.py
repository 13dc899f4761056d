"""Clients that hold connections: started as a process of its own (python3 slow_clients.py PORT N), says "ready" when all are open, ends with
its standard input. A third sends a head byte by byte, a third a body, a third what is no request; who is thrown out comes again."""
import random
import resource
import selectors
import socket
import sys
import time
from pathlib import Path

CORPUS = Path(__file__).resolve().parents[1] / "fuzz" / "corpus" / "http_head"
HEAD = b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"a" * 1000
BODY = b"POST /v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n" + b"[" * 1000
TURN_S = 0.5


class Slow:
    def __init__(self, port: int, kind: int, malformed: list[bytes]):
        self.port, self.kind, self.malformed = port, kind, malformed
        self.open()

    def open(self) -> None:
        self.at = 0
        self.text = (HEAD, BODY, random.choice(self.malformed))[self.kind]
        self.socket = socket.create_connection(("127.0.0.1", self.port), 30)
        self.socket.setblocking(False)

    def turn(self) -> bool:
        """One more byte, or of a body's head and of what is malformed all; False: it has been thrown out."""
        try:
            while self.socket.recv(4096):
                pass
            return False
        except BlockingIOError:
            pass
        except OSError:
            return False
        n = 1 if self.kind == 0 or self.at > 0 else len(self.text) - 1000 if self.kind == 1 else len(self.text)
        try:
            self.socket.send(self.text[self.at : self.at + n])
        except OSError:
            return False
        self.at = min(self.at + n, len(self.text) - 1)
        return True

    def again(self) -> None:
        self.socket.close()
        self.open()


def main() -> None:
    port, n = int(sys.argv[1]), int(sys.argv[2])
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    malformed = [path.read_bytes() for path in sorted(CORPUS.iterdir())]
    clients = [Slow(port, i % 3, malformed) for i in range(n)]
    print("ready", flush=True)
    ended = selectors.DefaultSelector()
    ended.register(sys.stdin, selectors.EVENT_READ)
    thrown_out = 0
    while not ended.select(0):
        began = time.monotonic()
        for client in clients:
            if not client.turn():
                thrown_out += 1
                client.again()
        ended.select(max(0.0, TURN_S - (time.monotonic() - began)))
    print(thrown_out, flush=True)


if __name__ == "__main__":
    main()
