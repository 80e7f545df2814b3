"""Pictures that are made to do harm: what they take is bounded, and they reach nobody but the decoder."""

import io
import os
import signal
import struct
import time
import zipfile
import zlib
from pathlib import Path

import psutil
import pytest
import requests
from conftest import Studio, disc, encoded, error_of, png
from PIL import Image

from orfeas import pictures

MEBIBYTE = 2**20


def with_chunk(kind: bytes, content: bytes) -> bytes:
    """A PNG with a further chunk behind its header."""
    chunk = struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    picture = png()
    return picture[:33] + chunk + picture[33:]


def scans(times: int) -> bytes:
    """A progressive JPEG of 4096 × 4096 pixels, whose last scan comes so many times: each is a pass over all pixels."""
    picture = encoded(Image.linear_gradient("L").resize((4096, 4096)), "JPEG", progressive=True)
    last = picture.rindex(b"\xff\xda")
    return picture[:last] + picture[last:-2] * times + b"\xff\xd9"


def segment(marker: bytes, content: bytes) -> bytes:
    """A JPEG with a further segment at its beginning."""
    picture = encoded(disc(mode="RGB"), "JPEG")
    return picture[:2] + b"\xff" + marker + struct.pack(">H", len(content) + 2) + content + picture[2:]


def archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("../../etc/passwd", "evil")
    return buffer.getvalue()


def check(content: bytes, max_side: int = 4096) -> pictures.Facts:
    return pictures.check(io.BytesIO(content), max_side)


BOMB = zlib.compress(bytes(100 * MEBIBYTE), 1)
EXIF_OF_EVERYTHING = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 65535) + os.urandom(200)
HARMLESS = {
    "a colour profile that unpacks to 100 MiB": with_chunk(b"iCCP", b"icc\0\0" + BOMB),
    "a text that unpacks to 100 MiB": with_chunk(b"zTXt", b"text\0\0" + BOMB),
    "an EXIF block without an end": segment(b"\xe1", EXIF_OF_EVERYTHING),
    "an EXIF block that turns the picture nowhere": segment(
        b"\xe1", b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\xff\xff\0\0\0\0\0\0"
    ),
    "an EXIF block whose entries point to themselves": segment(
        b"\xe1", b"Exif\0\0II*\0\x08\0\0\0\x01\0\x69\x87\x04\0\x01\0\0\0\x08\0\0\0\x08\0\0\0"
    ),
    "a colour profile in parts that never come": segment(b"\xe2", b"ICC_PROFILE\0\x01\xff" + bytes(1000)),
    "an animation": encoded(
        disc(), "WEBP", save_all=True, append_images=[disc().rotate(n) for n in range(30)]
    ),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_comes_with_a_picture_costs_nothing(name: str) -> None:
    before = psutil.Process().memory_info().rss
    start = time.monotonic()
    try:
        assert check(HARMLESS[name]).width == 64
    except pictures.DamagedPicture:
        pass
    assert time.monotonic() - start < 2
    assert psutil.Process().memory_info().rss - before < 20 * MEBIBYTE


def test_a_picture_that_takes_too_long_is_given_up(studio: Studio) -> None:
    bomb = scans(3000)
    assert len(bomb) < 50 * MEBIBYTE
    start = time.monotonic()
    url = f"{studio.url}/api/generate-3d"
    response = requests.post(url, files={"image": ("bomb.jpg", bomb)}, timeout=60)
    assert (response.status_code, error_of(response)) == (422, "image_too_costly")
    assert time.monotonic() - start < 40
    assert studio.submit(png()).status_code == 202


def test_a_picture_that_takes_too_much_memory_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "BYTES_PER_PIXEL", 0)
    monkeypatch.setattr(pictures, "BASE_BYTES", 4 * MEBIBYTE)
    with pytest.raises((pictures.TooCostly, pictures.DamagedPicture)):
        check(encoded(Image.new("1", (4096, 4096))))
    assert check(png()).width == 64


def test_a_decoder_that_crashes_takes_nobody_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda image: os.kill(os.getpid(), signal.SIGSEGV))
    with pytest.raises(pictures.TooCostly):
        check(png())


def test_a_decoder_writes_no_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "file"

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda image: file.write_bytes(b"evil"))
    with pytest.raises(pictures.DamagedPicture):
        check(png())
    assert file.read_bytes() == b""


POLYGLOTS = {
    "a PNG and an archive": png() + archive(),
    "a JPEG and a page": segment(b"\xfe", b"<script>alert(1)</script>"),
    "a PNG and a script": with_chunk(b"tEXt", b"Comment\0<?php system($_GET[0]); ?>"),
    "a WebP and a program": encoded(disc(), "WEBP") + b"\x7fELF" + bytes(100),
}


@pytest.mark.parametrize("name", POLYGLOTS)
def test_of_a_picture_that_is_something_else_as_well_only_a_mesh_comes_out(studio: Studio, name: str) -> None:
    job = studio.submitted(POLYGLOTS[name], format="stl")
    state = studio.ended(job)
    assert state["status"] == "completed"
    mesh = studio.get(state["outputs"][0]["url"]).content
    for evil in (b"script", b"php", b"ELF", b"PK\x03\x04", b"passwd"):
        assert evil not in mesh
    for path in (f"/uploads/{job}", f"/outputs/{job}", f"/outputs/{job}.png", f"/outputs/../uploads/{job}"):
        assert studio.get(path).status_code == 404


@pytest.mark.parametrize("head", [archive(), b"GIF89a" + bytes(20), b"<html>", b"%PDF-1.7\n", b"\x7fELF", b"BM"])
def test_a_picture_behind_something_else_is_none(head: bytes) -> None:
    with pytest.raises(pictures.UnsupportedPicture):
        check(head + png())
