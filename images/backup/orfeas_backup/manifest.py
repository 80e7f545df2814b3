"""What a backup says about itself: manifest.json in its snapshot."""

import json
from typing import Any

from orfeas_backup import restic, settings
from orfeas_backup.failure import Failure

FORMAT = 1
FILE = settings.SCRATCH / "manifest.json"

Manifest = dict[str, Any]


def tags(manifest: Manifest) -> list[str]:
    """The tags of a backup. What a list tells is in them, so that it need not read each manifest."""
    return [
        restic.TAG,
        manifest["name"],
        f"version={manifest['version']}",
        *(f"part={part}" for part in manifest["parts"]),
        *(f"missing={part}" for part in manifest["missing"]),
    ]


def name(snapshot: dict[str, Any]) -> str:
    return next((tag for tag in snapshot["tags"] if tag.startswith("orfeas_backup_")), snapshot["short_id"])


def values(snapshot: dict[str, Any], key: str) -> list[str]:
    """Of the tags `key=value` of a snapshot."""
    return [tag.removeprefix(f"{key}=") for tag in snapshot["tags"] if tag.startswith(f"{key}=")]


def record(snapshot: dict[str, Any]) -> dict[str, float]:
    """What the metrics tell of a backup that was made."""
    summary = snapshot["summary"]
    seconds = (restic.nanoseconds(summary["backup_end"]) - restic.nanoseconds(summary["backup_start"])) / 10**9
    ended = restic.nanoseconds(snapshot["time"]) / 10**9 + seconds
    return {
        "last_attempt_timestamp_seconds": ended,
        "last_attempt_succeeded": 1,
        "last_success_timestamp_seconds": ended,
        "last_success_duration_seconds": round(seconds, 1),
        "last_success_size_bytes": summary["total_bytes_processed"],
    }


def find(wanted: str) -> dict[str, Any]:
    """The snapshot of a backup by its name, or `latest`. Raises Failure when there is none."""
    snapshots = restic.snapshots(settings.get("NAMESPACE"))
    if found := next((one for one in snapshots if wanted in ("latest", name(one))), None):
        return found
    newest = ", ".join(name(snapshot) for snapshot in snapshots[:3])
    raise Failure(
        "there is no backup yet" if not snapshots else f"there is no backup {wanted}",
        f"the newest are {newest}; orfeas backup list shows all" if snapshots else "make one: orfeas backup",
        "snapshot-missing",
    )


def read(snapshot: dict[str, Any]) -> Manifest:
    """Raises Failure when it is newer than this program."""
    file = next((path for path in snapshot["paths"] if path.endswith("/manifest.json")), str(FILE))
    content = json.loads(restic.dump(snapshot["id"], file))
    refuse_newer(content, name(snapshot))
    return content


def refuse_newer(content: Manifest, name: str) -> None:
    """Raises Failure when a manifest is newer than this program."""
    if content["format"] > FORMAT:
        raise Failure(
            f"{name} was made by a newer version: its format is {content['format']}, and this version"
            f" reads up to {FORMAT}",
            f"use version {content.get('version', 'of then')} of the studio or a later one",
            "newer-format",
        )
