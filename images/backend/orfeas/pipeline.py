"""From an uploaded picture to the file of its model."""

from pathlib import Path

import trimesh

from orfeas import files, metrics, pictures
from orfeas.engines import Engine, JobFailed, Progress
from orfeas.jobs import Job
from orfeas.settings import Settings

# Shares of the work that are done after each part.
_DECODED = 0.05
_GENERATED = 0.85
_VALIDATED = 0.9


def run(job: Job, engine: Engine, settings: Settings, progress: Progress) -> int:
    """
    Make the model of a job, and return its size in bytes.

    Raises JobFailed, and whatever `progress` raises to stop it.
    """
    progress(0)
    with metrics.stage_duration.labels("decode").time():
        try:
            picture = pictures.load(settings.upload_dir / job.id)
        except FileNotFoundError:
            raise JobFailed("picture_lost", "The picture of this job is gone. Send it again.") from None
        except (pictures.DamagedPicture, pictures.UnsupportedPicture) as error:
            raise JobFailed(
                "image_damaged", f"The picture cannot be decoded ({error}). Save it anew, and send it again."
            ) from error
    progress(_DECODED)
    # STL has no colours.
    textured = settings.texture_enabled and job.format != "stl"
    mesh = engine.generate(
        picture, job.steps, textured, lambda share: progress(_DECODED + (_GENERATED - _DECODED) * share)
    )
    if settings.quality_validation_enabled:
        with metrics.stage_duration.labels("validate").time():
            _validate(mesh)
    progress(_VALIDATED)
    with metrics.stage_duration.labels("export").time():
        size = _export(mesh, job, settings.output_dir)
    progress(1)
    metrics.mesh_faces.observe(len(mesh.faces))
    metrics.mesh_vertices.observe(len(mesh.vertices))
    metrics.output_size.observe(size)
    return size


def _validate(mesh: trimesh.Trimesh) -> None:
    """Raises JobFailed when the mesh does not enclose a volume."""
    # A texture's seams double vertices, which is no hole.
    surface = mesh if mesh.is_watertight else trimesh.Trimesh(mesh.vertices, mesh.faces)
    # Its property `volume` brings the inertia with it, which takes most of the time.
    volume = trimesh.triangles.mass_properties(surface.triangles, skip_inertia=True).volume
    if not (surface.is_watertight and surface.is_winding_consistent and volume > 0):
        message = "The model came out with holes, so it was thrown away. Send a picture that shows one subject clearly."
        raise JobFailed("not_watertight", message)


def _export(mesh: trimesh.Trimesh, job: Job, folder: Path) -> int:
    if job.format == "obj" and isinstance(mesh.visual, trimesh.visual.TextureVisuals):
        # One file holds no texture, but colours of vertices.
        mesh.visual = mesh.visual.to_color()
    part = folder / f".{job.output}.part"
    try:
        # Without normals, viewers show each triangle of a GLB flat.
        options = {"include_normals": True} if job.format == "glb" else {}
        mesh.export(part, file_type=job.format, **options)
        size = part.stat().st_size
        files.publish(part, folder / job.output)
    finally:
        part.unlink(missing_ok=True)
    return size
