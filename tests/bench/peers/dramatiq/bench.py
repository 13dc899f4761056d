"""Dramatiq: each message is a field of a hash and an entry of a list in Redis; one process with its default number of threads."""
import argparse
import os
import sys
import threading
import time

import dramatiq
from dramatiq.brokers.redis import RedisBroker

THREADS = 8
JOB_DIGITS = 36
PAD = "x" * (256 - len('{"job":"","pad":""}') - JOB_DIGITS)


class Countdown:
    """Set once so many jobs have begun."""

    def __init__(self, left: int):
        self.left, self.lock, self.over = left, threading.Lock(), threading.Event()

    def one(self) -> None:
        with self.lock:
            self.left -= 1
            if self.left == 0:
                self.over.set()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("mode", choices=("enqueue", "consume", "work", "produce"))
    for name in ("jobs", "rate", "port"):
        parser.add_argument(f"--{name}", type=int)
    for name in ("user", "password"):
        parser.add_argument(f"--{name}")
    return parser.parse_args()


def told(work) -> None:
    """Says that all is ready; once there is a line on standard input it does the work and says so, and it ends with the input."""
    print("ready", flush=True)
    sys.stdin.readline()
    work()
    print("done", flush=True)
    sys.stdin.readline()


def produce(send, jobs: int, rate: int) -> None:
    start = time.time() + 0.2
    for i in range(jobs):
        time.sleep(max(0.0, start + i / rate - time.time()))
        send(i)
    print("".join(f"{round((start + i / rate) * 1e6)} {i:0{JOB_DIGITS}}\n" for i in range(jobs)), end="", flush=True)


def main() -> None:
    options = parse()
    broker = RedisBroker(host="127.0.0.1", port=options.port, username=options.user, password=options.password)
    dramatiq.set_broker(broker)  # with its default middleware: retries, age and time limits
    countdown = Countdown(options.jobs)

    @dramatiq.actor
    def bench(job: str, pad: str) -> None:
        if options.mode == "work":
            os.write(2, f'{{"job":"{job}"}}\n'.encode())
        countdown.one()

    def send(i: int) -> None:
        bench.send(f"{i:0{JOB_DIGITS}}", PAD)

    def consume() -> None:
        worker.start()
        countdown.over.wait()
        broker.join("default")  # the last are settled

    if options.mode == "enqueue":  # there is no call for many messages, and threads only cost
        told(lambda: [send(i) for i in range(options.jobs)])
    elif options.mode == "produce":
        produce(send, options.jobs, options.rate)
    else:
        worker = dramatiq.Worker(broker, worker_threads=THREADS)
        told(consume)
    os._exit(0)  # its threads are not waited for


main()
