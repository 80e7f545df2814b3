"""Connections to Redis."""

import time
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from orfeas import metrics
from orfeas.settings import Settings

# Redis answers in milliseconds or not at all; a caller with a person behind it must not wait for long.
OPTIONS: dict[str, Any] = {"socket_connect_timeout": 1, "socket_timeout": 2, "health_check_interval": 30}


class Redis(redis.Redis):
    """A client that measures its commands."""

    def __init__(self, process: str, **options: Any) -> None:
        super().__init__(**options)
        self._process = process

    def execute_command(self, *arguments: Any, **options: Any) -> Any:
        start = time.perf_counter()
        try:
            answer = super().execute_command(*arguments, **options)
        except redis.exceptions.NoScriptError:
            raise  # redis-py loads the script and tries again
        except redis.RedisError:
            metrics.redis_errors.labels(self._process).inc()
            metrics.redis_up.labels(self._process).set(0)
            raise
        metrics.redis_duration.labels(self._process).observe(time.perf_counter() - start)
        metrics.redis_up.labels(self._process).set(1)
        return answer


def connect(settings: Settings, process: str) -> Redis:
    """A client for `process`. It connects at the first command, and again once after each loss of a connection."""
    return Redis(
        process,
        host=settings.redis_host,
        port=settings.redis_port,
        db=settings.redis_db,
        password=settings.redis_password.get_secret_value() or None,
        decode_responses=True,
        retry=Retry(NoBackoff(), 1),
        client_name=f"orfeas-{process}",
        **OPTIONS,
    )
