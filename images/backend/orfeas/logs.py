"""Structured logs on standard error and in rotating files."""

import logging
import shutil
import time
from pathlib import Path
from typing import Any

from orfeas.settings import Settings

KEPT_SECONDS = 30 * 86_400
"""How long the logs of a pod that is gone are kept."""

_STANDARD = {*vars(logging.makeLogRecord({})), "asctime", "message"}


class TextFormatter(logging.Formatter):
    """Lines for people, with the fields of a record at their end."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        fields = {name: value for name, value in vars(record).items() if name not in _STANDARD}
        return " ".join([super().formatMessage(record), *(f"{name}={value!r}" for name, value in fields.items())])


def config(settings: Settings, name: str) -> dict[str, Any]:
    """
    A configuration for `logging.config.dictConfig`.

    `name` decides the file, LOG_DIR/<pod>/<name>.log. Two processes must never have the same one, as each rotates its own.
    """
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "json": {
                "()": "pythonjsonlogger.json.JsonFormatter",
                "fmt": "%(asctime)s %(levelname)s %(name)s %(message)s",
                "datefmt": "%Y-%m-%dT%H:%M:%S%z",
                "rename_fields": {"asctime": "time", "levelname": "level", "name": "logger"},
                "static_fields": {"process": name},
            },
            "text": {"()": TextFormatter, "fmt": f"%(asctime)s {name} %(levelname)s %(name)s: %(message)s"},
        },
        "handlers": {
            "stderr": {"class": "logging.StreamHandler", "formatter": settings.log_format},
            "file": {
                "class": "logging.handlers.RotatingFileHandler",
                "formatter": settings.log_format,
                "filename": str(settings.log_folder / f"{name}.log"),
                "maxBytes": settings.log_max_bytes,
                "backupCount": settings.log_backup_count,
                "encoding": "utf-8",
                "delay": True,
            },
        },
        "root": {"level": settings.log_level, "handlers": ["stderr", "file"]},
        "loggers": {
            "gunicorn.error": {"level": settings.log_level, "handlers": [], "propagate": True},
            # Requests are logged by the hook post_request, as fields.
            "gunicorn.access": {"level": "CRITICAL", "handlers": [], "propagate": False},
            "PIL": {"level": "INFO"},
        },
    }


def forget_pods(log_dir: Path) -> None:
    """Remove the logs of pods that have written nothing for KEPT_SECONDS."""
    before = time.time() - KEPT_SECONDS
    for folder in log_dir.iterdir():
        if folder.is_dir() and all(path.stat().st_mtime < before for path in [folder, *folder.iterdir()]):
            shutil.rmtree(folder, ignore_errors=True)
