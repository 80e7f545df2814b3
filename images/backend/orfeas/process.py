"""What a process does before anything else: read its settings, open its log, and claim its metrics' files."""

import logging.config
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from orfeas import logs, settings
from orfeas.settings import Settings

# A process keeps its name over restarts, unlike its number, so that files neither pile up nor collide.
_identity = "none"


def identity() -> str:
    """The name that this process's metrics and log files have, such as `worker` or `api-2`."""
    return _identity


def begin(name: str) -> Settings:
    """
    Start the process `name`. Call it before `orfeas.metrics` is imported, which opens files of that name.

    Ends the process with exit code 1 and one line for each fault when a setting or a folder is wrong.
    """
    current = settings.load()
    folders = {"LOG_DIR": current.log_dir}
    if name != "realtime":
        folders |= {"OUTPUT_DIR": current.output_dir, "UPLOAD_DIR": current.upload_dir}
    wrong = [
        f"{variable}='{folder}': is not a folder that user {os.getuid()} may write to; expected a mounted volume"
        for variable, folder in folders.items()
        if not os.access(folder, os.W_OK | os.X_OK)
    ]
    if wrong:
        settings.stop(wrong)
    current.log_folder.mkdir(exist_ok=True)
    metrics_folder = current.prometheus_multiproc_dir
    metrics_folder.mkdir(parents=True, exist_ok=True)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(metrics_folder)
    forget_gauges(metrics_folder, name)
    become(name, current)
    return current


def become(name: str, current: Settings) -> None:
    """Take another name, as a forked process must."""
    global _identity
    _identity = name
    logging.config.dictConfig(logs.config(current, name))


def gauges(folder: Path, name: str) -> Iterator[Path]:
    """The files of what processes of that name (a pattern) say about their present."""
    return folder.glob(f"gauge_live*_{name}.db")


def forget_gauges(folder: Path, name: str) -> None:
    """Remove what processes of that name (a pattern) said about their present. What they counted stays."""
    for stale in gauges(folder, name):
        stale.unlink(missing_ok=True)


def show_life() -> None:
    """Note that what this process says about its present holds: other containers cannot see whether it runs."""
    for current in gauges(Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]), _identity):
        os.utime(current)


def silent_gauges(folder: Path, name: str, since: float) -> Iterator[Path]:
    """The files of what processes of that name said about their present, and have not confirmed since that time."""
    for path in gauges(folder, name):
        with suppress(FileNotFoundError):  # of a process that begins again
            if path.stat().st_mtime < since:
                yield path
