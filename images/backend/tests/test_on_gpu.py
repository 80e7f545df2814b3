"""
The engine `hunyuan3d` with hy3dgen, and the metrics, on a real GPU. Skipped where there is none.

The model has the real one's parts, but small and of random weights. Its last layers alone are chosen: they make a ball.
"""

import gc
import io
import json
import subprocess
import tempfile
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trimesh
from conftest import Studio, disc, eventually
from test_gpu import _forget, shown  # noqa: F401 - a fixture of every test here

from orfeas import gpu
from orfeas.engines import EngineUnavailable, JobFailed
from orfeas.engines.hunyuan3d import Hunyuan3D
from orfeas.settings import Settings

torch = pytest.importorskip("torch", reason="needs PyTorch")
safetensors = pytest.importorskip("safetensors.torch", reason="needs safetensors")
pipelines = pytest.importorskip("hy3dgen.shapegen.pipelines", reason="needs hy3dgen")
if not torch.cuda.is_available():
    pytest.skip("needs a GPU", allow_module_level=True)

MEBIBYTE = 2**20
LITTLE = 1e-6
"""A share of the GPU's memory in which nothing fits."""
WIDTH = 64
MODEL: dict[str, Any] = {
    "model": {
        "target": "hy3dgen.shapegen.models.Hunyuan3DDiT",
        "params": {
            "in_channels": 8,
            "context_in_dim": WIDTH,
            "hidden_size": WIDTH,
            "num_heads": 4,
            "depth": 2,
            "depth_single_blocks": 2,
            "axes_dim": [WIDTH // 4],
        },
    },
    "vae": {
        "target": "hy3dgen.shapegen.models.ShapeVAE",
        "params": {
            "num_latents": 32,
            "embed_dim": 8,
            "width": WIDTH,
            "heads": 4,
            "num_decoder_layers": 2,
            "qk_norm": True,
        },
    },
    "conditioner": {
        "target": "hy3dgen.shapegen.models.SingleImageEncoder",
        "params": {
            "main_image_encoder": {
                "type": "DinoImageEncoder",
                "kwargs": {
                    "config": {
                        "hidden_size": WIDTH,
                        "image_size": 112,
                        "num_attention_heads": 4,
                        "num_hidden_layers": 2,
                        "patch_size": 14,
                        "use_swiglu_ffn": True,
                    },
                    "image_size": 112,
                },
            }
        },
    },
    "image_processor": {"target": "hy3dgen.shapegen.preprocessors.ImageProcessorV2", "params": {"size": 112}},
    "scheduler": {
        "target": "hy3dgen.shapegen.schedulers.FlowMatchEulerDiscreteScheduler",
        "params": {"num_train_timesteps": 1000},
    },
}


Make = Callable[..., Hunyuan3D]


class Stop(Exception):
    pass


def write_model(folder: Path, level: float = 2, **transformer: Any) -> None:
    """Save a model as hy3dgen loads it. Its surface is where cos πx + cos πy + cos πz is `level`: nowhere over 3."""
    config = {**MODEL, "model": {**MODEL["model"], "params": MODEL["model"]["params"] | transformer}}
    networks = {name: pipelines.instantiate_from_config(config[name]) for name in ("model", "vae", "conditioner")}
    decoder = networks["vae"].geo_decoder
    embedder, attention = decoder.fourier_embedder, decoder.cross_attn_decoder
    cosines = [3 + embedder.num_freqs * (3 + axis) for axis in range(3)]
    with torch.no_grad():
        # Two channels are opposite, so that their difference keeps its sign when a layer is normalized.
        for channel, sign in enumerate((1, -1)):
            decoder.query_proj.weight[channel] = 0
            decoder.query_proj.weight[channel, cosines] = sign
            decoder.query_proj.bias[channel] = -sign * level
            for layer in (attention.attn.c_proj, attention.mlp.c_proj):
                layer.weight[channel] = layer.bias[channel] = 0
            decoder.output_proj.weight[0, channel] = sign
        decoder.output_proj.weight[0, 2:] = decoder.output_proj.bias[0] = 0
    weights = {
        f"{name}.{key}": value.half()
        for name, network in networks.items()
        for key, value in network.state_dict().items()
    }
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(json.dumps(config))
    safetensors.save_file(weights, folder / "model.fp16.safetensors")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_model(folder / "ball/hunyuan3d-dit-v2-0")
    write_model(folder / "nothing/hunyuan3d-dit-v2-0", level=4)
    write_model(folder / "large/hunyuan3d-dit-v2-0", hidden_size=1024, num_heads=16, axes_dim=[64])
    return folder


@pytest.fixture
def make(models: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Loads an engine, on a GPU that other tests have left."""
    monkeypatch.setenv("HY3DGEN_MODELS", str(models))
    gc.collect()
    torch.cuda.empty_cache()

    def make(path: str = "ball", **settings: Any) -> Hunyuan3D:
        made = Hunyuan3D(
            Settings(hunyuan3d_path=path, background_removal_enabled=False, texture_enabled=False, **settings)
        )
        made.load()
        return made

    return make


def generate(engine: Hunyuan3D, progress: Callable[[float], None] = lambda _: None) -> trimesh.Trimesh:
    return engine.generate(disc(), 10, False, progress)


@pytest.mark.parametrize("half", [True, False], ids=["half", "single"])
def test_a_picture_becomes_a_closed_mesh(make: Make, half: bool) -> None:
    engine = make(mixed_precision_enabled=half)
    shares: list[float] = []
    mesh = generate(engine, shares.append)
    assert mesh.is_watertight
    assert mesh.volume > 0
    assert abs(mesh.bounds - [[-0.5] * 3, [0.5] * 3]).max() < 0.02
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_a_picture_without_a_shape_fails(make: Make) -> None:
    with pytest.raises(JobFailed) as failure:
        generate(make("nothing"))
    assert failure.value.code == "empty_subject"


def test_jobs_that_run_at_once_do_not_disturb_each_other(make: Make) -> None:
    engine = make()
    meshes: list[trimesh.Trimesh] = []
    together = threading.Barrier(3)

    def job() -> None:
        meshes.append(generate(engine, lambda share: together.wait() if share < 0.5 else None))

    threads = [threading.Thread(target=job) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [mesh.is_watertight for mesh in meshes] == [True] * 3


@pytest.mark.parametrize("reached", [0.2, 0.5], ids=["between two steps", "while it decodes the volume"])
def test_a_stopped_job_leaves_nothing_on_the_gpu_even_while_its_error_is_kept(make: Make, reached: float) -> None:
    engine = make()
    generate(engine)
    before = torch.cuda.memory_allocated()

    def stop(share: float) -> None:
        if share > reached:
            raise Stop

    with pytest.raises(Stop) as kept:
        generate(engine, stop)
    assert torch.cuda.memory_allocated() - before < MEBIBYTE, kept


def test_a_job_that_needs_more_than_its_share_of_memory_fails_and_the_next_succeeds(make: Make) -> None:
    engine = make()
    generate(engine)
    before = torch.cuda.memory_allocated()
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(LITTLE)
    with pytest.raises(torch.cuda.OutOfMemoryError) as kept:
        generate(engine)
    assert torch.cuda.memory_allocated() - before < MEBIBYTE, kept
    torch.cuda.set_per_process_memory_fraction(0.8)
    assert generate(engine).is_watertight


def test_it_says_that_the_model_does_not_fit_into_its_share_of_memory(make: Make) -> None:
    with pytest.raises(EngineUnavailable) as failure:
        make("large", gpu_memory_limit=LITTLE)
    assert "raise gpu.memoryFraction" in str(failure.value)


def test_a_job_leaves_nothing_in_the_temporary_folder(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    generate(engine)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def make_gpu_studio(make_studio: Callable[..., Studio], models: Path) -> Callable[..., Studio]:
    return partial(
        make_studio,
        MODEL_ENGINE="hunyuan3d",
        DEVICE="cuda",
        HUNYUAN3D_PATH="ball",
        HY3DGEN_MODELS=models,
        BACKGROUND_REMOVAL_ENABLED=0,
        TEXTURE_ENABLED=0,
    )


def test_a_worker_makes_models_and_puts_back_what_it_cannot_finish(make_gpu_studio: Callable[..., Studio]) -> None:
    studio = make_gpu_studio(DRAIN_SECONDS=1).start_all()
    state = studio.ended(studio.submitted())
    assert state["status"] == "completed"
    assert trimesh.load_mesh(io.BytesIO(studio.get(state["outputs"][0]["url"]).content), "glb").is_watertight
    assert studio.metric("orfeas_gpu_memory_total_bytes") > 0
    job = studio.submitted(steps=100)
    eventually(lambda: studio.state(job)["status"] == "processing")
    worker = studio.processes[-1]
    worker.terminate()
    assert worker.wait(20) == 0
    assert studio.state(job)["status"] == "queued"


def test_a_worker_outlives_jobs_for_which_memory_does_not_suffice(make_gpu_studio: Callable[..., Studio]) -> None:
    share = 200 * MEBIBYTE / torch.cuda.get_device_properties(0).total_memory
    studio = make_gpu_studio(GPU_MEMORY_LIMIT=share).start_all()
    for _ in range(2):
        state = studio.ended(studio.submitted())
        assert (state["status"], state["error"]["code"]) == ("failed", "internal_error")
    assert studio.get("/ready").status_code == 200
    assert "OutOfMemoryError" in (studio.logs / "worker.log").read_text()


def test_metrics_are_what_nvidia_smi_tells() -> None:
    # How far two readings, one after the other, may differ.
    asked = {
        "memory_total_bytes": ("memory.total", MEBIBYTE, MEBIBYTE),
        "temperature_celsius": ("temperature.gpu", 1, 3),
        "power_watts": ("power.draw", 1, 50),
        "uncorrected_ecc_errors": ("ecc.errors.uncorrected.volatile.total", 1, 0),
    }
    fields = ",".join(field for field, _, _ in asked.values())
    command = ["nvidia-smi", "--id=0", f"--query-gpu={fields}", "--format=csv,noheader,nounits"]
    answers = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split(",")
    gpu.Monitor(0.8).sample()
    told = shown()
    for (name, (_, unit, tolerance)), answer in zip(asked.items(), answers, strict=True):
        if "N/A" in answer:
            assert name not in told
        else:
            assert told[name] == pytest.approx(float(answer) * unit, abs=tolerance), name
    assert told["memory_used_bytes"] < told["memory_total_bytes"]
    assert told["memory_limit_bytes"] == 0.8 * told["memory_total_bytes"]
    assert told["temperature_celsius"] < told["temperature_limit_celsius"] < 120
