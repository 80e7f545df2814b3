"""
The engine `hunyuan3d`: Tencent's Hunyuan3D-2, by the package hy3dgen, on one GPU.

The weights come from the cache volumes: HY3DGEN_MODELS holds folders that are used as they are, HF_HOME what was
downloaded.
"""

import copy
import itertools
import logging
import math
import os
import threading
import traceback
from typing import Any

import numpy as np
import trimesh
from PIL import Image

from orfeas.engines import EngineUnavailable, JobFailed, Progress
from orfeas.metrics import stage_duration
from orfeas.settings import Settings

log = logging.getLogger(__name__)
# Shares of the engine's work that are done after each part.
_SEGMENTED = 0.05
_DENOISED = 0.3
_DECODED = 0.75
_SHAPED = 0.8

_FLOATER = 0.005
"""What has fewer faces than this share of the largest part is noise beside it."""
_THINNEST = 3
"""Pixels that a subject must have either way, for hy3dgen to scale it."""


class Hunyuan3D:
    name = "hunyuan3d"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # The renderer behind the texture keeps one mesh at a time.
        self._painting = threading.Lock()
        self._shaper: Any = None
        self._painter: Any = None
        self._remover: Any = None

    def load(self) -> None:
        settings = self._settings
        if not settings.xformers_disabled:
            # Its mere presence disables, whatever its value.
            os.environ.pop("XFORMERS_DISABLED", None)
        os.environ.setdefault("U2NET_HOME", str(settings.hy3dgen_models / "u2net"))
        try:
            import torch
        except ImportError as error:
            raise EngineUnavailable(
                f"PyTorch is missing ({error}): build the image with REQUIREMENTS=cuda, or set MODEL_ENGINE=relief"
            ) from error
        if not torch.cuda.is_available():
            raise EngineUnavailable(
                "PyTorch finds no CUDA device: the pod needs a GPU (gpu.perPod, gpu.resourceName), the node NVIDIA's"
                " container runtime (gpu.runtimeClass); without one, set MODEL_ENGINE=relief"
            )
        try:
            from hy3dgen.shapegen import Hunyuan3DDiTFlowMatchingPipeline
        except ImportError as error:
            raise EngineUnavailable(f"hy3dgen is missing ({error}): build the image with REQUIREMENTS=cuda") from error
        # It writes its lines itself, beside our log, which has them as well.
        logging.getLogger("hy3dgen.shapgen").handlers.clear()

        torch.cuda.set_per_process_memory_fraction(settings.gpu_memory_limit)
        accelerated = settings.rtx_optimizations_enabled
        tensor_cores = accelerated and settings.tensor_cores_enabled
        torch.backends.cuda.matmul.allow_tf32 = tensor_cores
        torch.backends.cudnn.allow_tf32 = tensor_cores
        dtype = torch.float16 if accelerated and settings.mixed_precision_enabled else torch.float32
        if accelerated and settings.cuda_graphs_enabled:
            log.info("CUDA graphs are not captured: PyTorch replays them from one thread, and jobs have a thread each")
        # Networks are made where and as they are used: the host would need 10 GB for them, in single precision.
        torch.set_default_dtype(dtype)
        try:
            with torch.device(settings.device):
                self._shaper = Hunyuan3DDiTFlowMatchingPipeline.from_pretrained(
                    settings.hunyuan3d_path, device=settings.device, dtype=dtype
                )
            if settings.background_removal_enabled:
                from hy3dgen.rembg import BackgroundRemover

                self._remover = BackgroundRemover()
        except torch.cuda.OutOfMemoryError as error:
            share = f"{settings.gpu_memory_limit:.0%}"
            raise EngineUnavailable(
                f"the model does not fit into {share} of the GPU's memory: raise gpu.memoryFraction"
            ) from error
        except Exception as error:
            raise EngineUnavailable(self._missing_weights(error)) from error
        finally:
            torch.set_default_dtype(torch.float32)
        if settings.texture_enabled:
            self._load_painter()

    def _missing_weights(self, error: Exception) -> str:
        settings = self._settings
        reason = f"{settings.hunyuan3d_path} did not load ({type(error).__name__}: {error})"
        if settings.hf_hub_offline:
            return f"{reason}: HF_HUB_OFFLINE is 1, so {settings.hy3dgen_models} or {settings.hf_home} must hold it"
        return (
            f"{reason}: it is neither in {settings.hy3dgen_models} nor in {settings.hf_home}, or cannot be downloaded"
        )

    def _load_painter(self) -> None:
        """Textures need a rasterizer that hy3dgen does not bring. Shapes are worth having without."""
        try:
            import custom_rasterizer  # noqa: F401
            from hy3dgen.texgen import Hunyuan3DPaintPipeline

            self._painter = Hunyuan3DPaintPipeline.from_pretrained(self._settings.hunyuan3d_path)
        except Exception as error:
            log.warning(
                "models will have no texture: hy3dgen's painter did not load",
                extra={"reason": f"{type(error).__name__}: {error}"},
            )

    def generate(self, picture: Image.Image, steps: int, textured: bool, progress: Progress) -> trimesh.Trimesh:
        with stage_duration.labels("segment").time():
            if self._remover is not None and picture.mode == "RGB":
                picture = self._remover(picture)
            box = picture.convert("RGBA").getbbox()
            if box is None or min(box[2] - box[0], box[3] - box[1]) < _THINNEST:
                raise JobFailed(
                    "empty_subject", "The picture shows no subject. Send one in which it stands out clearly."
                )
        progress(_SEGMENTED)
        with stage_duration.labels("shape").time():
            mesh = self._shape(picture, steps, progress)
        if textured and self._painter is not None:
            with stage_duration.labels("texture").time(), self._painting:
                progress(_SHAPED)
                mesh = self._painter(mesh, image=picture)
        progress(1)
        return mesh

    def _shape(self, picture: Image.Image, steps: int, progress: Progress) -> trimesh.Trimesh:
        # The networks are shared and only read; the scheduler counts the steps of one job.
        pipeline = copy.copy(self._shaper)
        pipeline.scheduler = copy.deepcopy(self._shaper.scheduler)
        pipeline.vae = copy.copy(self._shaper.vae)
        decode = pipeline.vae.volume_decoder

        def denoised(step: int, *_: Any) -> None:
            progress(_SEGMENTED + (_DENOISED - _SEGMENTED) * (step + 1) / steps)

        def decoded(latents: Any, decoder: Any, *, octree_resolution: int, num_chunks: int, **options: Any) -> Any:
            chunks = math.ceil((octree_resolution + 1) ** 3 / num_chunks)
            count = itertools.count(1)

            def decode_chunk(**chunk: Any) -> Any:
                progress(_DENOISED + (_DECODED - _DENOISED) * next(count) / chunks)
                return decoder(**chunk)

            return decode(latents, decode_chunk, octree_resolution=octree_resolution, num_chunks=num_chunks, **options)

        pipeline.vae.volume_decoder = decoded
        try:
            mesh = pipeline(
                image=picture, num_inference_steps=steps, callback=denoised, callback_steps=1, enable_pbar=False
            )[0]
        except Exception as error:
            # Whoever keeps the error would keep what its frames have on the GPU.
            traceback.clear_frames(error.__traceback__)
            raise
        if mesh is None:
            raise JobFailed(
                "empty_subject", "No shape was found in the picture. Send one that shows one subject clearly."
            )
        _clean(mesh)
        progress(_SHAPED)
        return mesh


def _clean(mesh: trimesh.Trimesh) -> None:
    """Remove collapsed faces and floaters. hy3dgen's own means leave files in the temporary folder for each mesh."""
    mesh.update_faces((mesh.faces != np.roll(mesh.faces, 1, axis=1)).all(axis=1))
    part_of_vertex = trimesh.graph.connected_component_labels(mesh.edges, len(mesh.vertices))
    part_of_face = part_of_vertex[mesh.faces[:, 0]]
    sizes = np.bincount(part_of_face)
    mesh.update_faces(sizes[part_of_face] >= _FLOATER * sizes.max())
    mesh.remove_unreferenced_vertices()
