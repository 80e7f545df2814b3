"""
The engine `relief`: a real mesh without a model.

The subject's silhouette is inflated like a balloon, and its brightness shapes the front. The mesh is built on a grid of
cells: each cell of the silhouette has a front and a back, and each edge of the silhouette a wall between them. So every
edge has two faces, whatever the picture, and the mesh is watertight by construction.
"""

import numpy as np
import trimesh
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from orfeas.engines import JobFailed, Progress
from orfeas.metrics import stage_duration
from orfeas.settings import Settings

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

GRID = 256
"""Cells on the longest side of a mesh."""
ANALYSIS = 1024
"""Pixels on the longest side when the subject is looked for, so that thin lines are not lost."""
TOLERANCE = 24.0
"""Distance of colours, of 442, within which a pixel belongs to the background."""
PLAIN_BORDER = 0.6
"""Share of the picture's border that must have one colour for the background to be told from the subject."""
RIM = 0.015
"""Half the thickness at the silhouette's edge, in lengths of the longest side."""
BULGE = 0.16
"""Height of the inflation, in the same unit."""
DETAIL = 0.5
"""How much brightness changes that height, up and down."""


class Relief:
    name = "relief"

    def __init__(self, settings: Settings) -> None:
        self._remove_background = settings.background_removal_enabled

    def load(self) -> None:
        """There is nothing to load."""

    def generate(self, picture: Image.Image, steps: int, textured: bool, progress: Progress) -> trimesh.Trimesh:
        """See Engine. `steps` has no meaning here: the mesh is computed, not approached."""
        with stage_duration.labels("segment").time():
            picture.thumbnail((ANALYSIS, ANALYSIS), Image.Resampling.BOX, reducing_gap=None)
            cells, colours = to_grid(picture, silhouette(picture, self._remove_background))
            progress(0.3)
        with stage_duration.labels("shape").time():
            fill_diagonals(cells)
            progress(0.4)
            front, back = depths(cells, colours)
            progress(0.6)
            mesh = build(cells, front, back)
            progress(0.9)
        if textured:
            with stage_duration.labels("texture").time():
                mesh.visual = vertex_colours(cells, colours)
        progress(1)
        return mesh


def silhouette(picture: Image.Image, remove_background: bool) -> Floats:
    """The subject's share of each pixel, 0 to 1; shape (height, width). Raises JobFailed when there is none."""
    if picture.mode == "RGBA":
        alpha = np.asarray(picture.getchannel("A"), dtype=np.float32) / 255
        if not alpha.any():
            message = "The picture is fully transparent, so it has no subject. Send one that shows something."
            raise JobFailed("empty_subject", message)
        return alpha
    whole = np.ones((picture.height, picture.width), dtype=np.float32)
    if not remove_background:
        return whole
    pixels = np.asarray(picture, dtype=np.float32)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    background = np.median(border, axis=0)
    if np.mean(_distance(border, background) < TOLERANCE) < PLAIN_BORDER:
        return whole
    similar = _distance(pixels, background) < TOLERANCE
    # A part of the subject that has the background's colour is not background: only what the border reaches is.
    regions, _ = ndimage.label(np.pad(similar, 1, constant_values=True))
    subject = (regions != regions[0, 0])[1:-1, 1:-1]
    return subject.astype(np.float32) if subject.any() else whole


def _distance(colours: Floats, reference: Floats) -> Floats:
    return np.linalg.norm(colours - reference, axis=-1)


def to_grid(picture: Image.Image, coverage: Floats) -> tuple[Mask, Floats]:
    """
    The silhouette and its colours on the mesh's grid, with an empty cell on each side.

    Returns cells, shape (rows, columns), and colours 0 to 1, shape (rows, columns, 3).
    """
    scale = min(1.0, GRID / max(picture.size))
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))

    def shrink(channel: Floats) -> Floats:
        return np.asarray(Image.fromarray(channel, mode="F").resize(size, Image.Resampling.BOX), dtype=np.float32)

    covered = shrink(coverage)
    pixels = np.asarray(picture.convert("RGB"), dtype=np.float32) / 255
    # Weighed by coverage: what hides under transparency must not shine through at the edge.
    weighed = np.stack([shrink(np.ascontiguousarray(pixels[..., channel]) * coverage) for channel in range(3)], axis=-1)
    colours = weighed / np.maximum(covered, 1e-6)[..., None]
    # Relative to the most that any cell has, so that a picture of thin lines alone keeps them.
    cells = covered >= 0.5 * covered.max()
    return np.pad(cells, 1), np.pad(np.clip(colours, 0, 1), ((1, 1), (1, 1), (0, 0)))


def fill_diagonals(cells: Mask) -> None:
    """Fill cells until no two touch at a corner alone, where four walls would meet in one edge."""
    while True:
        a, b, c, d = cells[:-1, :-1], cells[:-1, 1:], cells[1:, :-1], cells[1:, 1:]
        falling = a & d & ~b & ~c
        rising = b & c & ~a & ~d
        if not falling.any() and not rising.any():
            return
        # A filled cell shares its row and its column with others, so the grid's empty border stays empty.
        b |= falling
        a |= rising


def _corners(cells: Mask) -> NDArray[np.int64]:
    """How many of the four cells at each corner are filled; shape (rows - 1, columns - 1)."""
    filled = cells.astype(np.int64)
    return filled[:-1, :-1] + filled[:-1, 1:] + filled[1:, :-1] + filled[1:, 1:]


def _at_corners(cells: Mask, values: Floats) -> Floats:
    """The mean of the values of the filled cells at each corner."""
    masked = values * cells.reshape(cells.shape + (1,) * (values.ndim - 2))
    total = masked[:-1, :-1] + masked[:-1, 1:] + masked[1:, :-1] + masked[1:, 1:]
    filled = np.maximum(_corners(cells), 1)
    return total / filled.reshape(filled.shape + (1,) * (values.ndim - 2))


def depths(cells: Mask, colours: Floats) -> tuple[Floats, Floats]:
    """Distance of the front and of the back from the middle plane at each corner, in lengths of the longest side."""
    inside = _corners(cells) == 4
    distance = ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1].astype(np.float32)
    # A quarter circle from the edge up; wide subjects are flat beyond it.
    radius = max(1.0, min(float(distance.max()), 0.2 * max(cells.shape)))
    inflation = np.sqrt(1 - (1 - np.minimum(distance / radius, 1)) ** 2)
    # Narrow subjects rise less.
    height = BULGE * min(1.0, radius / (0.2 * GRID)) ** 0.5
    luminance = _at_corners(cells, colours @ np.array([0.2126, 0.7152, 0.0722], dtype=np.float32))
    used = _corners(cells) > 0
    smooth = ndimage.gaussian_filter(np.where(used, luminance, luminance[used].mean()), 1)
    brightness = np.clip(smooth - smooth[used].mean(), -0.5, 0.5)
    front = RIM + height * inflation * (1 + DETAIL * 2 * brightness)
    back = RIM + 0.6 * height * inflation
    return front.astype(np.float32), back.astype(np.float32)


def build(cells: Mask, front: Floats, back: Floats) -> trimesh.Trimesh:
    """The mesh of the filled cells. Its longest side is 1 long, and its middle is the origin."""
    used = _corners(cells) > 0
    count = int(used.sum())
    index = np.full(used.shape, -1, dtype=np.int64)
    index[used] = np.arange(count)
    rows, columns = np.nonzero(cells)
    # The corners of a cell, seen from the front: north-west, north-east, south-west, south-east.
    nw, ne = index[rows - 1, columns - 1], index[rows - 1, columns]
    sw, se = index[rows, columns - 1], index[rows, columns]
    faces = [
        np.stack([nw, sw, se], axis=1),
        np.stack([nw, se, ne], axis=1),
        np.stack([nw, se, sw], axis=1) + count,
        np.stack([nw, ne, se], axis=1) + count,
    ]
    edges = []
    # Each edge of the silhouette, in the direction in which its cell's front uses it.
    for first, second, row, column in ((ne, nw, -1, 0), (sw, se, 1, 0), (nw, sw, 0, -1), (se, ne, 0, 1)):
        outer = ~cells[rows + row, columns + column]
        edges.append(np.stack([first[outer], second[outer]], axis=1))
    rim = np.concatenate(edges)
    faces.append(np.stack([rim[:, 1], rim[:, 0], rim[:, 0] + count], axis=1))
    faces.append(np.stack([rim[:, 1], rim[:, 0] + count, rim[:, 1] + count], axis=1))

    row, column = np.nonzero(used)
    plane = np.stack([column, -row], axis=1).astype(np.float64)
    plane = _smooth_rim(plane, rim)
    length = max(cells.shape) - 2
    plane = (plane - (plane.min(axis=0) + plane.max(axis=0)) / 2) / length
    vertices = np.concatenate([np.column_stack([plane, front[used]]), np.column_stack([plane, -back[used]])])
    return trimesh.Trimesh(vertices, np.concatenate(faces), process=False)


def _smooth_rim(plane: NDArray[np.float64], rim: NDArray[np.int64]) -> NDArray[np.float64]:
    """Round the silhouette's stairs. Moves below a quarter of a cell neither flatten a triangle nor turn it."""
    smooth = plane.copy()
    for _ in range(3):
        neighbours = np.zeros_like(plane)
        np.add.at(neighbours, rim[:, 0], smooth[rim[:, 1]])
        np.add.at(neighbours, rim[:, 1], smooth[rim[:, 0]])
        moved = np.unique(rim)
        smooth[moved] = 0.5 * smooth[moved] + 0.25 * neighbours[moved]
    return plane + np.clip(smooth - plane, -0.24, 0.24)


def vertex_colours(cells: Mask, colours: Floats) -> trimesh.visual.ColorVisuals:
    """The colour of each vertex of `build`'s mesh: the front's, and the same on the back."""
    used = _corners(cells) > 0
    corner = _at_corners(cells, colours)[used]
    rgba = np.column_stack([np.round(corner * 255), np.full(len(corner), 255)]).astype(np.uint8)
    return trimesh.visual.ColorVisuals(vertex_colors=np.concatenate([rgba, rgba]))
