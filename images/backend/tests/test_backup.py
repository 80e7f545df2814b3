"""What the backup's jobs wrote to Redis, as /metrics tells it."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from conftest import RedisServer

from orfeas import backup, metrics


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[Any]:
    redis_server.client.delete(backup.KEY)
    yield redis_server.client
    redis_server.client.delete(backup.KEY)
    backup.sample(redis_server.client)


def shown() -> dict[str, float]:
    return {
        name: float(value)
        for name, value in re.findall(r"^orfeas_backup_(\w+) (\S+)$", metrics.render().decode(), re.MULTILINE)
    }


def test_before_the_first_backup_there_is_nothing_to_tell(client: Any) -> None:
    backup.sample(client)
    assert shown() == {}


def test_each_field_is_told_once_it_exists(client: Any) -> None:
    first = {"last_attempt_timestamp_seconds": 1_790_000_000, "last_attempt_succeeded": 0}
    client.hset(backup.KEY, mapping=first)
    backup.sample(client)
    assert shown() == first
    everything = first | {
        "last_attempt_succeeded": 1,
        "last_success_timestamp_seconds": 1_790_000_000.5,
        "last_success_duration_seconds": 12.5,
        "last_success_size_bytes": 123_456_789,
        "last_verification_timestamp_seconds": 1_790_000_100,
        "last_verification_succeeded": 1,
    }
    client.hset(backup.KEY, mapping=everything | {"unknown": 5})
    backup.sample(client)
    assert shown() == everything
    client.delete(backup.KEY)
    backup.sample(client)
    assert shown() == {}


@pytest.mark.parametrize("value", ["", "soon", "nan", "inf", "1 2"])
def test_a_field_that_is_no_number_is_absent_and_hides_no_other(client: Any, value: str) -> None:
    client.hset(backup.KEY, mapping={"last_success_size_bytes": value, "last_success_duration_seconds": 3})
    backup.sample(client)
    assert shown() == {"last_success_duration_seconds": 3}


def test_while_redis_is_away_what_was_read_last_stays(client: Any) -> None:
    client.hset(backup.KEY, "last_attempt_succeeded", 1)
    backup.sample(client)
    with pytest.raises(redis.ConnectionError):
        backup.sample(redis.Redis(port=1))
    assert shown() == {"last_attempt_succeeded": 1}
