"""What turns a picture into a mesh."""

from collections.abc import Callable
from typing import Protocol

import trimesh
from PIL import Image

from orfeas.settings import Settings

Progress = Callable[[float], None]
"""Told the share of the work that is done, 0 to 1. It stops a job by an exception, so call it often."""


class EngineUnavailable(Exception):
    """The engine cannot work here. The text says what is missing."""


class JobFailed(Exception):
    """No model can be made of this picture. `code` is one of `metrics.FAILURES`; the text is for who sent it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Engine(Protocol):
    name: str

    def load(self) -> None:
        """Make ready to generate, once. Raises EngineUnavailable."""

    def generate(self, picture: Image.Image, steps: int, textured: bool, progress: Progress) -> trimesh.Trimesh:
        """
        A mesh of the picture's subject: right-handed, Y up, the subject facing +Z.

        `picture` is RGB, or RGBA if it has any transparency. Several threads may call this at once. Raises JobFailed.
        """


def create(settings: Settings) -> Engine:
    """The engine that MODEL_ENGINE names."""
    # Imported here: each brings libraries that the other does without.
    if settings.model_engine == "relief":
        from orfeas.engines.relief import Relief

        return Relief(settings)
    from orfeas.engines.hunyuan3d import Hunyuan3D

    return Hunyuan3D(settings)
