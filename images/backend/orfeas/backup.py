"""How the backup went, as its jobs write it to Redis."""

import math

from redis import Redis

from orfeas import metrics

KEY = "orfeas:backup"
"""A hash, whose fields are those of metrics.BACKUP."""


def sample(redis: Redis) -> None:
    """Raises `redis.RedisError` when Redis is away; what was read last then stays."""
    found = redis.hgetall(KEY)
    for field, gauge in metrics.BACKUP.items():
        gauge.set(_number(found.get(field, "")))


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return metrics.ABSENT
    return value if math.isfinite(value) else metrics.ABSENT
