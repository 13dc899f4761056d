"""What a power cut does to Redis."""
import os

from penstock_ops.redis_server import Redis


def cut_log(redis: Redis, most: int) -> int:
    """What the page cache held of the AOF's end is gone, at most so many bytes; how many. Restarted twice, since a torn MULTI bites the
    second time."""
    redis.kill9()
    folder = redis.dir / "appendonlydir"
    manifest = (folder / "appendonly.aof.manifest").read_text().splitlines()
    increments = [line.split()[1] for line in manifest if line.endswith("type i")]  # in the order they are read; only the last has a tail
    cut = 0
    if increments:
        last = folder / increments[-1]
        cut = min(last.stat().st_size, most)
        os.truncate(last, last.stat().st_size - cut)
    redis.start()
    redis.kill9()
    redis.start()
    return cut
