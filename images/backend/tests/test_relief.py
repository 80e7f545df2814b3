"""The engine `relief` makes solid meshes of whatever it is shown."""

import io
from pathlib import Path

import numpy as np
import pytest
import trimesh
from conftest import disc, encoded
from PIL import Image, ImageDraw

from orfeas import pictures
from orfeas.engines import JobFailed
from orfeas.engines.relief import Relief
from orfeas.settings import Settings

RANDOM = np.random.default_rng(7)


def settings(**values: object) -> Settings:
    return Settings(**values)  # type: ignore[arg-type]


def generate(picture: Image.Image, textured: bool = True, **values: object) -> trimesh.Trimesh:
    shares: list[float] = []
    mesh = Relief(settings(**values)).generate(picture.copy(), 50, textured, shares.append)
    assert len(shares) >= 4
    assert shares == sorted(shares)
    assert shares[0] >= 0 and shares[-1] == 1
    return mesh


def noise(mode: str) -> Image.Image:
    return Image.fromarray(RANDOM.integers(0, 256, (150, 130, len(mode)), dtype=np.uint8), mode)


def islands() -> Image.Image:
    pixels = (RANDOM.random((120, 120, 1)) > 0.7) * np.array([200, 120, 40, 255])
    return Image.fromarray(pixels.astype(np.uint8), "RGBA")


def checkers() -> Image.Image:
    pixels = np.zeros((64, 64, 4), dtype=np.uint8)
    pixels[np.indices((64, 64)).sum(axis=0) % 2 == 0] = 255
    return Image.fromarray(pixels, "RGBA")


def ring() -> Image.Image:
    image = disc(120)
    ImageDraw.Draw(image).ellipse((45, 45, 75, 75), fill=(0, 0, 0, 0))
    return image


def lines(mode: str) -> Image.Image:
    image = Image.new(mode, (900, 900), (0, 0, 0, 0) if mode == "RGBA" else "white")
    draw = ImageDraw.Draw(image)
    draw.line((0, 0, 899, 500), fill="red")
    draw.line((0, 899, 899, 899), fill="black")
    return image


PICTURES = {
    "a disc on nothing": disc(),
    "a disc on white": disc(mode="RGB"),
    "a ring with a hole": ring(),
    "noise": noise("RGB"),
    "noise with noise as alpha": noise("RGBA"),
    "many islands": islands(),
    "cells that touch at corners": checkers(),
    "thin lines on nothing": lines("RGBA"),
    "thin lines on white": lines("RGB"),
    "one colour": Image.new("RGB", (80, 60), "green"),
    "one pixel": Image.new("RGB", (1, 1), "red"),
    "one almost transparent pixel": Image.new("RGBA", (1, 1), (1, 2, 3, 2)),
    "a line of pixels": Image.new("RGB", (4096, 1), "blue"),
    "a picture of 4096 pixels a side": disc(4096),
}


@pytest.mark.parametrize("output_format", ["glb", "obj", "stl"])
@pytest.mark.parametrize("name", PICTURES)
def test_the_mesh_is_solid_in_each_format(name: str, output_format: str) -> None:
    exported = generate(PICTURES[name]).export(file_type=output_format)
    content = exported.encode() if isinstance(exported, str) else exported
    mesh = trimesh.load(io.BytesIO(content), file_type=output_format, force="mesh")
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    assert mesh.volume > 0
    assert np.isfinite(mesh.vertices).all()
    assert mesh.area_faces.min() > 0


def test_the_subject_stands_upright_and_faces_the_viewer() -> None:
    """Y is up, and +Z is toward the viewer: red is at the top left, and the front bulges."""
    image = Image.new("RGBA", (100, 100), (0, 0, 255, 255))
    ImageDraw.Draw(image).rectangle((0, 0, 49, 49), fill=(255, 0, 0, 255))
    mesh = generate(image)
    colours = mesh.visual.vertex_colors
    red = mesh.vertices[colours[:, 0] > 250]
    assert red[:, 0].max() < 0.05
    assert red[:, 1].min() > -0.05
    outward = mesh.face_normals[mesh.triangles_center[:, 2] > 0.1]
    assert outward[:, 2].mean() > 0.9
    assert mesh.bounds[1][2] > -mesh.bounds[0][2]


def test_the_longest_side_is_one_and_the_middle_is_the_origin() -> None:
    mesh = generate(Image.new("RGB", (200, 100), "green"))
    assert mesh.extents[0] == pytest.approx(1, abs=0.02)
    assert mesh.extents[1] == pytest.approx(0.5, abs=0.02)
    assert mesh.bounds.mean(axis=0)[:2] == pytest.approx([0, 0], abs=1e-6)


def test_the_middle_of_a_subject_is_thicker_than_its_edge_and_light_parts_stand_out() -> None:
    mesh = generate(disc(200))
    radius = np.linalg.norm(mesh.vertices[:, :2], axis=1)
    assert mesh.vertices[radius < 0.1, 2].max() > 3 * mesh.vertices[radius > radius.max() - 0.001, 2].max()
    image = disc(200)
    ImageDraw.Draw(image).ellipse((90, 90, 110, 110), fill="white")
    assert generate(image).bounds[1][2] > mesh.bounds[1][2]


def test_the_background_is_found_by_the_border_and_not_inside_the_subject() -> None:
    image = disc(200, "RGB")
    ImageDraw.Draw(image).ellipse((90, 90, 110, 110), fill="white")
    cut_out, whole = generate(image), generate(image, background_removal_enabled=False)
    assert cut_out.extents[0] == pytest.approx(0.75, abs=0.03)
    assert whole.extents[0] == pytest.approx(1, abs=0.02)
    assert cut_out.euler_number == 2, "the white spot is no hole"


def test_a_mesh_has_colours_only_when_they_are_asked_for() -> None:
    assert generate(disc()).visual.kind == "vertex"
    assert generate(disc(), textured=False).visual.kind is None


def test_a_fully_transparent_picture_has_no_subject() -> None:
    with pytest.raises(JobFailed) as failure:
        generate(Image.new("RGBA", (20, 20), (255, 0, 0, 0)))
    assert failure.value.code == "empty_subject"


def test_a_photo_is_turned_as_its_camera_noted(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "photo"
    path.write_bytes(encoded(Image.new("RGB", (40, 20)), "JPEG", exif=exif))
    assert pictures.load(path).size == (20, 40)
