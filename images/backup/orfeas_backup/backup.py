"""Makes a backup."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orfeas_backup import events, grafana, manifest, objects, parts, prometheus, redis, restic, restore, settings
from orfeas_backup.failure import Failure
from orfeas_backup.parts import PARTS

# Weights and meshes do not shrink, and the weekly verification reads packs back: without both 111 MB/s, with them 61, in
# one run on 2 CPUs. Two files read and two packs written at once, as restic does by itself, keep no more CPUs busy than
# those: on 4 CPUs 3 GiB took 7.3 s so, and 6.3 s with four.
OPTIONS = ("--compression=off", "--no-extra-verify", "--read-concurrency=4", "--option=local.connections=4")
VANISHED = "no such file or directory"

Paths = dict[str, dict[str, Path]]
"""By part and key, as in the manifest."""


def make(*, skip_models: bool, at: datetime | None) -> None:
    """Raises Failure; no half of a backup is left then. `at` is the time that it carries, now if absent."""
    started = time.monotonic()
    created = (at or datetime.now(UTC)).astimezone(UTC)
    name = created.strftime("orfeas_backup_%Y%m%d_%H%M%S")
    wanted = [part for part in settings.names("BACKUP_PARTS") if not (skip_models and part == "models")]
    with _recorded():
        with _as_phase("archive"):
            restore.refuse_while_under_way()
            _refuse_what_is_no_clone()
            restic.open_or_create()
        paths: Paths = {part: {} for part in wanted if part in PARTS}
        missing: dict[str, str] = {}
        for part, gather in (("redis", _redis), ("monitoring", _monitoring), ("configuration", _configuration)):
            if part not in paths:
                events.tell(part, "skipped")
                continue
            with events.phase(part):
                if problem := gather(paths[part]):
                    missing[part] = problem
                    events.tell(part, "warning", error=problem)
        for part in {"outputs", "logs", "models"} & set(paths):
            paths[part] = {key: source.path for key, source in PARTS[part].items() if source.path.exists()}
        content = {
            "format": manifest.FORMAT,
            "name": name,
            "created": events.iso(created),
            "namespace": settings.get("NAMESPACE"),
            "environment": settings.get("ENVIRONMENT"),
            "version": settings.get("STUDIO_VERSION"),
            "parts": {part: described(of) for part, of in paths.items() if of or part not in missing},
            "missing": missing,
        }
        with events.phase("archive") as done:
            snapshot = archive(content, created)
            done |= {"name": name, **snapshot}
        _retain()
        seconds = round(time.monotonic() - started, 1)
        with events.phase("record"):
            ended = created.timestamp() + seconds
            _record(
                last_attempt_timestamp_seconds=ended,
                last_attempt_succeeded=1,
                last_success_timestamp_seconds=ended,
                last_success_duration_seconds=seconds,
                last_success_size_bytes=snapshot["bytes"],
            )
    events.document({"result": {"name": name, **snapshot, "seconds": seconds, "missing": missing}})


@contextmanager
def _recorded() -> Iterator[None]:
    """Lets the metrics tell when the body fails."""
    try:
        _forget_progress()
        yield
    except Failure:
        with suppress(Failure):
            redis.record(last_attempt_timestamp_seconds=time.time(), last_attempt_succeeded=0)
        raise
    finally:
        _forget_progress()


def _forget_progress() -> None:
    with suppress(Failure):
        redis.remove("progress_ratio")


@contextmanager
def _as_phase(name: str) -> Iterator[None]:
    try:
        yield
    except Failure as failure:
        failure.phase = name
        raise


def _redis(paths: dict[str, Path]) -> None:
    dump = settings.SCRATCH / "dump.rdb"
    redis.dump(dump)
    paths["redis"] = dump


def _refuse_what_is_no_clone() -> None:
    """Raises Failure: a provisioner that knows nothing of clones makes an empty volume instead."""
    kept = [source.path for part in ("outputs", "logs") for source in PARTS[part].values()]
    if settings.CLONES and not any(path.exists() for path in kept):
        raise Failure(
            "the clone of outputs is empty: its storage class does not clone volumes, or the backend has never run",
            "set backup.readFrom back to 'volumes', or use a storage class whose CSI driver clones",
        )


def _monitoring(paths: dict[str, Path]) -> str:
    """Gathers what can be had; returns what is wrong with the rest."""
    return "; ".join(problem for gather in (_prometheus, _grafana) if (problem := gather(paths)))


def _prometheus(paths: dict[str, Path]) -> str:
    if settings.CLONES:
        if not (prometheus.DATA / "wal").is_dir():
            return "the clone of prometheus-data has no wal: its storage class does not clone volumes"
        paths["prometheus"] = prometheus.DATA
        return ""
    try:
        answer = json.loads(prometheus.ANSWER.read_text())
    except (OSError, ValueError) as error:
        return f"the snapshot of Prometheus was not made: {error}"
    if "error" in answer:
        return answer["error"]
    paths["prometheus"] = prometheus.SNAPSHOT
    return ""


def _grafana(paths: dict[str, Path]) -> str:
    database, copy = PARTS["monitoring"]["grafana"].path, settings.SCRATCH / "grafana.db"
    if not database.exists():
        missing = "the clone of grafana-data has no grafana.db: its storage class does not clone volumes"
        return missing if settings.CLONES else ""
    try:
        (grafana.recover if settings.CLONES else grafana.copy)(database, copy)
    except Failure as failure:
        return failure.error
    paths["grafana"] = copy
    return ""


def _configuration(paths: dict[str, Path]) -> str:
    """As `_monitoring`. Secrets are only read when their names are given."""
    namespace, secrets = settings.get("NAMESPACE"), settings.names("BACKUP_SECRETS")
    try:
        paths["objects"] = _written("objects.json", objects.listed(namespace))
        if secrets:
            paths["secrets"] = _written("secrets.json", objects.secrets(namespace, secrets))
    except Failure as failure:
        return failure.error
    return ""


def _written(name: str, content: object) -> Path:
    file = settings.SCRATCH / name
    file.touch(mode=0o600)
    file.write_text(json.dumps(content))
    return file


def described(paths: dict[str, Path]) -> dict[str, Any]:
    """A part in a manifest."""
    sizes = [size for path in paths.values() for size in _sizes(path)]
    return {"paths": {key: str(path) for key, path in paths.items()}, "files": len(sizes), "bytes": sum(sizes)}


def _sizes(path: Path) -> Iterator[int]:
    if not path.is_dir():
        yield path.stat().st_size
        return
    for entry in parts.files(path):
        with suppress(FileNotFoundError):
            yield entry.stat(follow_symlinks=False).st_size


def archive(content: manifest.Manifest, created: datetime) -> dict[str, Any]:
    """Put what a manifest names into the repository. Returns what the result tells of the snapshot. Raises Failure."""
    total = sum(part["bytes"] for part in content["parts"].values())
    manifest.FILE.write_text(json.dumps(content))
    sources = [path for part in content["parts"].values() for path in part["paths"].values()]
    excluded = [f"{path}/{pattern}" for path in sources for pattern in parts.NOT_DATA] + list(parts.UNFINISHED)
    if str(prometheus.DATA) in sources:
        excluded += [f"{prometheus.DATA}/{pattern}" for pattern in prometheus.PASSING]
    started = time.monotonic()

    def listen(message: dict[str, Any]) -> None:
        if message["message_type"] == "summary":
            summary.update(message)
        elif message["message_type"] == "status" and (done := message.get("bytes_done", 0)):
            events.tell(
                "archive",
                "progress",
                files=message.get("files_done", 0),
                bytes=done,
                totalBytes=max(total, done),
                bytesPerSecond=round(done / (time.monotonic() - started)),
            )
            with suppress(Failure):
                redis.record(progress_ratio=round(min(1, done / max(total, 1)), 4))

    for last in (False, True):
        summary: dict[str, Any] = {}
        ended = restic.unlocked(
            "backup",
            *OPTIONS,
            "--no-scan",
            # Links, of which Prometheus' snapshot and restores are made, change nothing but ctime.
            "--ignore-ctime",
            "--host",
            settings.get("NAMESPACE"),
            "--group-by",
            "host",
            "--tag",
            restic.UNFINISHED,
            "--time",
            created.strftime("%Y-%m-%d %H:%M:%S"),
            *(f"--exclude={pattern}" for pattern in excluded),
            *sources,
            manifest.FILE,
            phase="archive",
            listen=listen,
            accept=(0, restic.UNREADABLE_SOURCE),
        )
        unread = {
            error.get("item", restic.text(error)): restic.text(error)
            for error in ended.errors
            if "during" in error or restic.text(error).endswith("does not exist, skipping")
        }
        if not unread or (last and all(VANISHED in text for text in unread.values())):
            break
        if last:
            names = ", ".join(list(unread)[:10])
            raise Failure(f"not all could be read: {names}", "look at the owner and mode of these files")
    tags = ",".join(manifest.tags(content))
    tagged = restic.unlocked("tag", "--set", tags, summary["snapshot_id"], phase="archive")
    return {
        "snapshot": next(message["new_snapshot_id"] for message in tagged.messages if "new_snapshot_id" in message),
        "bytes": summary["total_bytes_processed"],
        "addedBytes": summary["data_added_packed"],
        "files": summary["total_files_processed"],
    }


def _retain() -> None:
    with events.phase("retention") as done:
        try:
            within = f"{settings.get('BACKUP_RETENTION_DAYS')}d"
            forgotten = restic.forget(restic.TAG, "--keep-within", within, "--keep-last", "1", "--prune")
        except Failure as failure:
            # The backup is good all the same, and the next one tries again.
            events.tell("retention", "warning", error=failure.error, remedy=failure.remedy)
            return
        done["removed"] = sum(len(group["remove"] or []) for group in forgotten.messages[0])


def _record(**fields: float) -> None:
    try:
        redis.record(**fields)
    except Failure as failure:
        events.tell("record", "warning", error=f"the metrics do not tell of it: {failure.error}")
