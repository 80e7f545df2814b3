"""Sessions, whose key may change while the process runs."""

import logging
from pathlib import Path
from typing import Any

from flask import Flask
from flask.sessions import SecureCookieSessionInterface

from orfeas.settings import stop

EXPECTED = "expected 32 or more random characters; `openssl rand -hex 32` makes some"
MIN_CHARACTERS = 32

log = logging.getLogger(__name__)


class Sessions(SecureCookieSessionInterface):
    """
    Signs cookies with the key in a file, and also accepts what the next or the previous key has signed.

    Those stand beside it during a rotation, as `.next` and `.previous`: no process sees a change at the same moment as
    another. Ends the process when the key is weak.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        try:
            key = _read(file)
        except OSError as error:
            stop([f"SECRET_KEY_FILE='{file}': cannot be read ({error.strerror}); {EXPECTED}"])
        if "CHANGE_ME" in key:
            stop([f"SECRET_KEY_FILE='{file}': still has the placeholder; {EXPECTED}"])
        if len(key) < MIN_CHARACTERS:
            stop([f"SECRET_KEY_FILE='{file}': has {len(key)} characters; {EXPECTED}"])

    def get_signing_serializer(self, app: Flask) -> Any:
        try:
            app.config.update(SECRET_KEY=_read(self._file), SECRET_KEY_FALLBACKS=self._fallbacks())
        except OSError as error:
            # The keys that were read last still hold.
            log.warning("the key of sessions cannot be read", extra={"reason": str(error)})
        return super().get_signing_serializer(app)

    def _fallbacks(self) -> list[str]:
        beside = (self._file.with_name(f"{self._file.name}{suffix}") for suffix in (".next", ".previous"))
        return [_read(file) for file in beside if file.exists()]


def _read(file: Path) -> str:
    return file.read_text().strip()
