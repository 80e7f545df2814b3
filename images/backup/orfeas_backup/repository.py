"""What is in the repository: one JSON document each."""

import json
from typing import Any

from orfeas_backup import manifest, restic, settings
from orfeas_backup.failure import Failure


def listed() -> dict[str, Any]:
    """All backups, newest first. Raises Failure."""
    restic.open_repository()
    return {"snapshots": [_described(snapshot) for snapshot in restic.snapshots(settings.get("NAMESPACE"))]}


def inspected(wanted: str) -> dict[str, Any]:
    """The manifest of a backup that can be restored. Raises Failure."""
    restic.open_repository()
    snapshot = manifest.find(wanted)
    content = manifest.read(snapshot)
    paths = {path for part in content["parts"].values() for path in part["paths"].values()}
    found = restic.run("ls", restic.NO_LOCK, snapshot["id"], *sorted(paths)).messages if paths else []
    if gone := paths - {node.get("path") for node in found}:
        raise Failure(
            f"{content['name']} has no {', '.join(sorted(gone))}, of which its manifest tells",
            "restore another backup: orfeas backup list",
            "damaged",
        )
    restic.run("check", restic.NO_LOCK)
    return {"manifest": content, "id": snapshot["id"]}


def objects(wanted: str) -> list[dict[str, Any]]:
    """The objects in a backup; Secrets stay in it. Raises Failure."""
    restic.open_repository()
    snapshot = manifest.find(wanted)
    part = manifest.read(snapshot)["parts"].get("configuration")
    if not part or "objects" not in part["paths"]:
        raise Failure(f"{manifest.name(snapshot)} has no configuration", "restore another backup: orfeas backup list")
    return json.loads(restic.dump(snapshot["id"], part["paths"]["objects"]))


def _described(snapshot: dict[str, Any]) -> dict[str, Any]:
    summary = snapshot.get("summary", {})
    return {
        "name": manifest.name(snapshot),
        "id": snapshot["id"],
        "created": snapshot["time"],
        "bytes": summary.get("total_bytes_processed", 0),
        "files": summary.get("total_files_processed", 0),
        "parts": manifest.values(snapshot, "part"),
        # Why, which is rarely of use, does not fit into a tag.
        "missing": manifest.read(snapshot)["missing"] if manifest.values(snapshot, "missing") else {},
        "version": next(iter(manifest.values(snapshot, "version")), ""),
    }
