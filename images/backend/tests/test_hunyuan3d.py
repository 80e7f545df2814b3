"""The engine `hunyuan3d`, with stand-ins for PyTorch and hy3dgen, which need a GPU."""

import logging
import os
import sys
import threading
import weakref
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
import trimesh
from conftest import disc
from PIL import Image, ImageDraw

from orfeas.engines import EngineUnavailable, JobFailed
from orfeas.engines.hunyuan3d import Hunyuan3D
from orfeas.settings import Settings


class OutOfMemory(RuntimeError):
    pass


def module(name: str, **content: Any) -> ModuleType:
    made = ModuleType(name)
    made.__dict__.update(content)
    return made


class Stop(Exception):
    pass


class Tensor:
    pass


CHUNKS = 9


def decode(latents: Tensor, decoder: Callable[..., Any], *, octree_resolution: int, num_chunks: int) -> None:
    for _ in range(CHUNKS):
        decoder(queries=None, latents=latents)


class Pipeline:
    """Behaves as hy3dgen's: calls back after each step, counts them in its scheduler, and decodes in chunks."""

    def __init__(self) -> None:
        self.scheduler = SimpleNamespace(steps=0)
        self.vae = SimpleNamespace(volume_decoder=decode)
        self.meet: Callable[[], Any] = lambda: None
        self.mesh = trimesh.creation.icosphere(2)
        self.on_gpu: weakref.WeakSet[Tensor] = weakref.WeakSet()

    def __call__(
        self, image: Image.Image, num_inference_steps: int, callback: Any, callback_steps: int, enable_pbar: bool
    ) -> list[trimesh.Trimesh]:
        latents = Tensor()
        self.on_gpu.add(latents)
        for step in range(num_inference_steps):
            assert self.scheduler.steps == step, "another job used this scheduler"
            self.scheduler.steps += 1
            self.meet()
            callback(step, None, None)
        self.vae.volume_decoder(latents, lambda **_: None, octree_resolution=2, num_chunks=3)
        return [self.mesh]


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A machine with all that the engine needs. Its parts may be broken by the test."""
    pipeline = Pipeline()
    cuda = MagicMock(OutOfMemoryError=OutOfMemory)
    cuda.is_available.return_value = True
    torch = module(
        "torch",
        cuda=cuda,
        device=MagicMock(),
        set_default_dtype=MagicMock(),
        backends=SimpleNamespace(
            cuda=SimpleNamespace(matmul=SimpleNamespace(allow_tf32=None)), cudnn=SimpleNamespace(allow_tf32=None)
        ),
        float16="half",
        float32="single",
    )
    shaper = MagicMock()
    shaper.from_pretrained.return_value = pipeline
    painter = MagicMock()
    painter.from_pretrained.return_value.side_effect = lambda mesh, image: mesh
    remover = MagicMock()
    remover.return_value.side_effect = lambda picture: picture.convert("RGBA")
    for name, made in {
        "torch": torch,
        "hy3dgen": module("hy3dgen"),
        "hy3dgen.shapegen": module("hy3dgen.shapegen", Hunyuan3DDiTFlowMatchingPipeline=shaper),
        "hy3dgen.rembg": module("hy3dgen.rembg", BackgroundRemover=remover),
        "hy3dgen.texgen": module("hy3dgen.texgen", Hunyuan3DPaintPipeline=painter),
        "custom_rasterizer": module("custom_rasterizer"),
    }.items():
        monkeypatch.setitem(sys.modules, name, made)
    monkeypatch.delenv("U2NET_HOME", raising=False)
    return SimpleNamespace(torch=torch, shaper=shaper, painter=painter, remover=remover, pipeline=pipeline)


def engine(**settings: Any) -> Hunyuan3D:
    return Hunyuan3D(Settings(**settings))  # type: ignore[arg-type]


def loaded(**settings: Any) -> Hunyuan3D:
    made = engine(**settings)
    made.load()
    return made


def reason_of(made: Hunyuan3D) -> str:
    with pytest.raises(EngineUnavailable) as failure:
        made.load()
    return str(failure.value)


def test_it_says_that_pytorch_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert "PyTorch is missing" in reason_of(engine())


def test_it_says_that_hy3dgen_is_missing(gpu: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hy3dgen.shapegen", None)
    assert "hy3dgen is missing" in reason_of(engine())


def test_it_says_that_there_is_no_gpu(gpu: SimpleNamespace) -> None:
    gpu.torch.cuda.is_available.return_value = False
    reason = reason_of(engine())
    assert "no CUDA device" in reason
    assert "MODEL_ENGINE=relief" in reason


def test_it_says_where_weights_must_be_when_nothing_may_be_downloaded(gpu: SimpleNamespace) -> None:
    gpu.shaper.from_pretrained.side_effect = FileNotFoundError("no snapshot")
    reason = reason_of(engine(hf_hub_offline=True))
    assert "HF_HUB_OFFLINE is 1" in reason
    assert "/app/models/huggingface" in reason
    assert "no snapshot" in reason


def test_it_says_that_the_gpu_is_too_small(gpu: SimpleNamespace) -> None:
    gpu.shaper.from_pretrained.side_effect = OutOfMemory()
    assert "does not fit into 80% of the GPU's memory" in reason_of(engine())


def test_it_keeps_to_its_share_of_the_gpu_and_to_the_rtx_switches(gpu: SimpleNamespace) -> None:
    loaded(gpu_memory_limit=0.5)
    gpu.torch.cuda.set_per_process_memory_fraction.assert_called_with(0.5)
    assert gpu.torch.backends.cuda.matmul.allow_tf32 is True
    assert gpu.torch.backends.cudnn.allow_tf32 is True
    gpu.shaper.from_pretrained.assert_called_with("tencent/Hunyuan3D-2", device="cuda", dtype="half")
    loaded(rtx_optimizations_enabled=False)
    assert gpu.torch.backends.cuda.matmul.allow_tf32 is False
    gpu.shaper.from_pretrained.assert_called_with("tencent/Hunyuan3D-2", device="cuda", dtype="single")


@pytest.mark.parametrize("fails", [True, False])
def test_networks_are_made_on_the_gpu_and_in_their_precision(gpu: SimpleNamespace, fails: bool) -> None:
    """Made in the host's memory, in single precision, they take more of it than the worker has."""
    where, precision = gpu.torch.device.return_value, gpu.torch.set_default_dtype

    def from_pretrained(*_: Any, **__: Any) -> Pipeline:
        gpu.torch.device.assert_called_with("cuda")
        assert where.__enter__.called
        assert not where.__exit__.called
        precision.assert_called_with("half")
        if fails:
            raise OutOfMemory
        return gpu.pipeline

    gpu.shaper.from_pretrained.side_effect = from_pretrained
    if fails:
        assert "does not fit" in reason_of(engine())
    else:
        loaded()
    precision.assert_called_with("single")


def test_hy3dgen_writes_no_lines_beside_the_log(gpu: SimpleNamespace) -> None:
    logger = logging.getLogger("hy3dgen.shapgen")
    logger.addHandler(logging.StreamHandler())
    loaded()
    assert not logger.handlers
    assert logger.propagate


@pytest.mark.parametrize("disabled", [True, False])
def test_xformers_is_left_on_only_when_nothing_says_that_it_is_disabled(
    gpu: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, disabled: bool
) -> None:
    """DINOv2 asks whether the variable is there, not what it says."""
    monkeypatch.setenv("XFORMERS_DISABLED", "1" if disabled else "0")
    loaded(xformers_disabled=disabled)
    assert ("XFORMERS_DISABLED" in os.environ) is disabled


def test_a_picture_is_cut_out_shaped_and_painted(gpu: SimpleNamespace) -> None:
    shares: list[float] = []
    mesh = loaded().generate(disc(mode="RGB"), 20, True, shares.append)
    assert mesh.is_watertight
    assert gpu.remover.return_value.call_count == 1
    assert gpu.painter.from_pretrained.return_value.call_count == 1
    assert len(shares) > 20 + CHUNKS
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_a_cut_out_picture_is_not_cut_out_again_and_what_is_off_is_not_loaded(gpu: SimpleNamespace) -> None:
    loaded().generate(disc(), 10, False, lambda _: None)
    assert gpu.remover.return_value.call_count == 0
    assert gpu.painter.from_pretrained.return_value.call_count == 0
    gpu.remover.reset_mock()
    gpu.painter.from_pretrained.reset_mock()
    loaded(background_removal_enabled=False, texture_enabled=False).generate(disc(mode="RGB"), 10, True, lambda _: None)
    assert gpu.remover.call_count == 0
    assert gpu.painter.from_pretrained.call_count == 0


def test_shapes_are_made_without_a_painter_when_its_rasterizer_is_missing(
    gpu: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "custom_rasterizer", None)
    assert loaded().generate(disc(), 10, True, lambda _: None).is_watertight
    assert "models will have no texture" in caplog.text


@pytest.mark.parametrize("box", [None, (10, 10, 11, 50), (10, 10, 50, 11)], ids=["none", "two columns", "two rows"])
def test_a_picture_without_a_subject_fails(gpu: SimpleNamespace, box: tuple[int, int, int, int] | None) -> None:
    """hy3dgen cannot scale one that is a line."""

    def cut_out(picture: Image.Image) -> Image.Image:
        subject = Image.new("RGBA", picture.size)
        if box:
            ImageDraw.Draw(subject).rectangle(box, "red")
        return subject

    gpu.remover.return_value.side_effect = cut_out
    with pytest.raises(JobFailed) as failure:
        loaded().generate(disc(mode="RGB"), 10, False, lambda _: None)
    assert failure.value.code == "empty_subject"


def test_collapsed_faces_and_floaters_are_removed_and_parts_stay(gpu: SimpleNamespace) -> None:
    part = trimesh.creation.icosphere(2).apply_translation([3, 0, 0])
    floater = trimesh.creation.icosphere(0).apply_scale(0.01).apply_translation([0, 3, 0])
    subject = trimesh.creation.icosphere(5)
    gpu.pipeline.mesh = trimesh.util.concatenate([subject, part, floater])
    gpu.pipeline.mesh.faces = [*gpu.pipeline.mesh.faces, [5, 5, 7], [8, 9, 8]]
    mesh = loaded().generate(disc(), 10, False, lambda _: None)
    assert len(mesh.faces) == len(subject.faces) + len(part.faces)
    assert len(mesh.vertices) == len(subject.vertices) + len(part.vertices)
    assert mesh.is_watertight


def test_jobs_that_run_at_once_do_not_share_a_scheduler(gpu: SimpleNamespace) -> None:
    together = threading.Barrier(3)
    gpu.pipeline.meet = together.wait
    made = loaded()
    meshes: list[trimesh.Trimesh] = []

    def job() -> None:
        meshes.append(made.generate(disc(), 12, False, lambda _: None))

    threads = [threading.Thread(target=job) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(meshes) == 3
    assert gpu.pipeline.scheduler.steps == 0
    assert gpu.pipeline.vae.volume_decoder is decode


@pytest.mark.parametrize("reached", [0.2, 0.5], ids=["between two steps", "while it decodes the volume"])
def test_a_job_is_stopped_and_keeps_nothing_on_the_gpu(gpu: SimpleNamespace, reached: float) -> None:
    def report(share: float) -> None:
        if share > reached:
            raise Stop

    with pytest.raises(Stop) as kept:
        loaded().generate(disc(), 50, False, report)
    assert not gpu.pipeline.on_gpu, kept
