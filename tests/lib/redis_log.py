"""What a power cut does to Redis."""
import os

from penstock_ops.redis_server import Redis


def cut_log(redis: Redis, most: int) -> int:
    """What the page cache held of the AOF's end is gone, at most so many bytes; how many. Restarted twice, since a torn MULTI bites the
    second time."""
    redis.kill9()
    increments = redis.log_increments()
    cut = 0
    if increments:
        last = increments[-1]
        cut = min(last.stat().st_size, most)
        os.truncate(last, last.stat().st_size - cut)
    redis.start()
    redis.kill9()
    redis.start()
    return cut
