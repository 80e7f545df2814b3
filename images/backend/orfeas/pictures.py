"""Reading of pictures that strangers sent."""

import math
import multiprocessing
import resource
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, NamedTuple

import psutil
from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("PNG", "JPEG", "WEBP")
# Sides are checked before anything is decoded, which is a stricter guard than Pillow's own against bombs.
Image.MAX_IMAGE_PIXELS = None

MEBIBYTE = 2**20
BASE_BYTES = 128 * MEBIBYTE
BYTES_PER_PIXEL = 16
"""Four copies of a picture with transparency: decoded, turned, converted, and what a decoder itself needs."""
BASE_SECONDS = 1
SECONDS_PER_PIXEL = 2e-7
"""Several times what pictures take that are slow to decode, such as lossless WebP."""
WAIT_FACTOR = 5
"""How much longer than its time on the CPU a decoder may take, which shares the CPU with others."""

# Not started anew: a fork has all modules, and is there in milliseconds.
_processes = multiprocessing.get_context("fork")


class Facts(NamedTuple):
    """What is known of a checked picture."""

    type: str
    """png, jpeg or webp."""
    width: int
    height: int


class UnsupportedPicture(Exception):
    """The content is no picture of a supported type."""


class DamagedPicture(Exception):
    """The content is a picture that cannot be decoded. The text says why."""


class TooLarge(Exception):
    """A side is too long. The text has the size."""


class TooCostly(Exception):
    """The picture takes more memory or time than one of its size may."""


def check(file: IO[bytes], max_side: int) -> Facts:
    """
    Decode a picture as `load` does, once its sides are known to be at most `max_side` pixels.

    It is done in a process of its own, which ends when it takes more than its memory in bytes or seconds on the CPU,
    writes nothing, and takes nobody with it when a decoder crashes.

    Raises UnsupportedPicture, DamagedPicture, TooLarge or TooCostly.
    """
    answers, answer = _processes.Pipe(duplex=False)
    pixels = max_side**2
    seconds = math.ceil(BASE_SECONDS + pixels * SECONDS_PER_PIXEL)
    size = BASE_BYTES + pixels * BYTES_PER_PIXEL
    decoder = _processes.Process(target=_examine, args=(file, max_side, size, seconds, answer), daemon=True)
    decoder.start()
    answer.close()
    try:
        found = answers.recv() if answers.poll(seconds * WAIT_FACTOR) else TooCostly()
    except EOFError:  # it was ended
        found = TooCostly()
    finally:
        decoder.kill()
        decoder.join()
        decoder.close()
        answers.close()
    if isinstance(found, Exception):
        raise found
    return found


def _examine(file: IO[bytes], max_side: int, size: int, seconds: int, answer: Connection) -> None:
    """Send `answer` the facts of a picture, or the exception that says why there are none."""
    _limit(resource.RLIMIT_AS, psutil.Process().memory_info().vms + size)
    _limit(resource.RLIMIT_CPU, seconds)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_CORE, 0)
    try:
        with _open(file) as image:
            facts = Facts(str(image.format).lower(), *image.size)
            if max(image.size) > max_side:
                raise TooLarge(f"{image.width} × {image.height} pixels")
            _upright(image)
        answer.send(facts)
    except (UnsupportedPicture, DamagedPicture, TooLarge) as error:
        answer.send(error)
    except MemoryError:
        answer.send(TooCostly())


def _limit(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(kind, (value, value))


def load(path: Path) -> Image.Image:
    """
    The first frame of a checked picture, upright, as RGB or, if it has any transparency, RGBA.

    Raises DamagedPicture or UnsupportedPicture.
    """
    with path.open("rb") as file, _open(file) as image:
        return _upright(image)


def _open(file: IO[bytes]) -> Image.Image:
    head = file.read(16)
    file.seek(0)
    try:
        return Image.open(file, formats=FORMATS)
    except UnidentifiedImageError:
        if _looks_like_a_picture(head):
            raise DamagedPicture("its header is broken") from None
        raise UnsupportedPicture from None
    except MemoryError:
        raise
    except Exception as error:  # of whatever type a decoder found
        raise DamagedPicture(str(error)) from error


def _upright(image: Image.Image) -> Image.Image:
    try:
        image.load()
        upright = ImageOps.exif_transpose(image)
        if not upright.has_transparency_data:
            return upright.convert("RGB")
        picture = upright.convert("RGBA")
    except MemoryError:
        raise
    except Exception as error:  # of whatever type a decoder found
        raise DamagedPicture(str(error)) from error
    lowest, _ = picture.getchannel("A").getextrema()
    return picture if lowest < 255 else picture.convert("RGB")


def _looks_like_a_picture(head: bytes) -> bool:
    return head.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")
