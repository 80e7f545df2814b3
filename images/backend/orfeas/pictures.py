"""Reading of pictures that strangers sent."""

from pathlib import Path
from typing import IO, NamedTuple

from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("PNG", "JPEG", "WEBP")
# Sides are checked before anything is decoded, which is a stricter guard than Pillow's own against bombs.
Image.MAX_IMAGE_PIXELS = None


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
    """A side is too long."""

    def __init__(self, width: int, height: int) -> None:
        super().__init__(f"{width} × {height} pixels")


def check(file: IO[bytes], max_side: int) -> Facts:
    """
    Decode the first frame of a picture, once its sides are known to be at most `max_side` pixels.

    Raises UnsupportedPicture, DamagedPicture or TooLarge.
    """
    with _open(file) as image:
        facts = Facts(str(image.format).lower(), *image.size)
        if max(image.size) > max_side:
            raise TooLarge(*image.size)
        _decode(image)
    return facts


def load(path: Path) -> Image.Image:
    """
    The first frame of a checked picture, upright, as RGB or, if it has any transparency, RGBA.

    Raises DamagedPicture or UnsupportedPicture.
    """
    with path.open("rb") as file, _open(file) as image:
        _decode(image)
        upright = ImageOps.exif_transpose(image)
        if not upright.has_transparency_data:
            return upright.convert("RGB")
        picture = upright.convert("RGBA")
        lowest, _ = picture.getchannel("A").getextrema()
        return picture if lowest < 255 else picture.convert("RGB")


def _open(file: IO[bytes]) -> Image.Image:
    head = file.read(16)
    file.seek(0)
    try:
        return Image.open(file, formats=FORMATS)
    except UnidentifiedImageError:
        if _looks_like_a_picture(head):
            raise DamagedPicture("its header is broken") from None
        raise UnsupportedPicture from None
    except (OSError, SyntaxError, ValueError) as error:
        raise DamagedPicture(str(error)) from error


def _decode(image: Image.Image) -> None:
    try:
        image.load()
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, MemoryError) as error:
        raise DamagedPicture(str(error)) from error


def _looks_like_a_picture(head: bytes) -> bool:
    return head.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")
