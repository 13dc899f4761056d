"""What a power cut does to Redis."""
import os

from penstock_ops.redis_server import Redis


def cut_log(redis: Redis, most: int) -> int:
    """What the page cache held of the AOF's end is gone, at most so many bytes; how many. Restarted twice, since a torn MULTI bites the
    second time."""
    redis.kill9()
    increments = sorted((redis.dir / "appendonlydir").glob("*.incr.aof"), key=lambda f: f.stat().st_mtime)
    cut = 0
    if increments:
        size = increments[-1].stat().st_size
        cut = min(size, most)
        os.truncate(increments[-1], size - cut)
    redis.start()
    redis.kill9()
    redis.start()
    return cut
