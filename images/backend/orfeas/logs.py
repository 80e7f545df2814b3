"""Structured logs on standard error and in rotating files."""

import logging
from typing import Any

from orfeas.settings import Settings

_STANDARD = {*vars(logging.makeLogRecord({})), "asctime", "message"}


class TextFormatter(logging.Formatter):
    """Lines for people, with the fields of a record at their end."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        fields = {name: value for name, value in vars(record).items() if name not in _STANDARD}
        return " ".join([super().formatMessage(record), *(f"{name}={value!r}" for name, value in fields.items())])


def config(settings: Settings, name: str) -> dict[str, Any]:
    """
    A configuration for `logging.config.dictConfig`.

    `name` decides the file, LOG_DIR/<name>.log. Two processes must never have the same one, as each rotates its own.
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
                "filename": str(settings.log_dir / f"{name}.log"),
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
