"""A snapshot of Prometheus' data, held while a backup reads it. Runs as Prometheus' own user beside the backup."""

import json
import shutil
import signal
import sys
import urllib.error
import urllib.request
from pathlib import Path

from orfeas_backup import settings

SNAPSHOT_SECONDS = 240
DATA = settings.VOLUMES / "prometheus-data"
PASSING = ("lock", "queries.active", "snapshots", "*.tmp-for-*", "wal/checkpoint.*.tmp")
"""Patterns of what a process left in it, which the next one makes anew or removes."""
FOLDER = DATA / "snapshots"
SNAPSHOT = FOLDER / "orfeas"
"""Always this one, so that restic finds in it what it read last time."""
ANSWER = settings.SCRATCH / "metrics-snapshot"
"""Tells how it went, once it is known: {"ok": true} or {"error": …}."""


def hold() -> None:
    """Make the snapshot, or tell why there is none; remove it when asked to end."""
    for leftover in FOLDER.glob("*"):
        shutil.rmtree(leftover)
    try:
        try:
            (FOLDER / _asked()).rename(SNAPSHOT)
            answer: dict[str, object] = {"ok": True}
        except (OSError, ValueError, KeyError) as error:
            answer = {"error": f"Prometheus made no snapshot: {_reason(error)}"}
            print(answer["error"], file=sys.stderr, flush=True)
        part = ANSWER.with_suffix(".part")
        part.write_text(json.dumps(answer))
        part.replace(ANSWER)
        signal.pause()
    finally:
        shutil.rmtree(SNAPSHOT, ignore_errors=True)


def _asked() -> str:
    """The name of a snapshot that Prometheus made when asked to. Links to its files, so it takes no space."""
    url = f"{settings.get('PROMETHEUS_URL').rstrip('/')}/api/v1/admin/tsdb/snapshot"
    with urllib.request.urlopen(urllib.request.Request(url, method="POST"), timeout=SNAPSHOT_SECONDS) as response:
        return Path(json.load(response)["data"]["name"]).name


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        try:
            return str(json.load(error)["error"])
        except (ValueError, KeyError):
            return f"{error.code} {error.reason}"
    return str(error)
