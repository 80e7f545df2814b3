"""What standard output tells: one JSON document a line."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from orfeas_backup.failure import Failure, of_system


def iso(time: datetime) -> str:
    """In UTC, in whole seconds."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def document(content: object) -> None:
    print(json.dumps(content), flush=True)


def tell(phase: str, status: str, **fields: Any) -> None:
    document({"phase": phase, "status": status, "time": iso(datetime.now(UTC)), **fields})


@contextmanager
def phase(name: str, **fields: Any) -> Iterator[dict[str, Any]]:
    """Tells that a phase starts and is done, with what its body puts into the dictionary. A Failure gets its name."""
    tell(name, "started", **fields)
    done: dict[str, Any] = {}
    try:
        yield done
    except OSError as error:
        raise of_system(error, name) from error
    except Failure as failure:
        failure.phase = failure.phase or name
        raise
    tell(name, "done", **fields, **done)
