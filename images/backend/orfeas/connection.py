"""Connections to Redis."""

import time
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from redis.retry import Retry

from orfeas import metrics
from orfeas.settings import Settings

# Redis answers in milliseconds or not at all; a caller with a person behind it must not wait for long.
_OPTIONS: dict[str, Any] = {"socket_connect_timeout": 1, "socket_timeout": 2, "health_check_interval": 30}


class PasswordFile(CredentialProvider):
    """Reads the password for each new connection: one that has changed needs no restart."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def get_credentials(self) -> tuple[str]:
        try:
            return (self._file.read_text().strip(),)
        except OSError as error:
            raise redis.ConnectionError(f"{self._file}: {error.strerror}") from error


def credentials(settings: Settings) -> dict[str, Any]:
    """The options of a client that say who it is."""
    file = settings.redis_password_file
    return {"credential_provider": PasswordFile(file)} if file else {}


def options(settings: Settings) -> dict[str, Any]:
    """The options of a client whose commands are answered at once."""
    return {**_OPTIONS, **credentials(settings)}


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
        decode_responses=True,
        retry=Retry(NoBackoff(), 1),
        client_name=f"orfeas-{process}",
        **options(settings),
    )
