"""Metrics of GPUs, with a stand-in for NVIDIA's driver."""

from types import SimpleNamespace

import pynvml
import pytest

from orfeas import gpu, metrics


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, answer in {
        "nvmlInit": None,
        "nvmlDeviceGetCount": 1,
        "nvmlDeviceGetHandleByIndex": "device",
        "nvmlDeviceGetMemoryInfo": SimpleNamespace(used=19 * 2**30, total=24 * 2**30),
        "nvmlDeviceGetUtilizationRates": SimpleNamespace(gpu=75),
        "nvmlDeviceGetTemperature": 61,
        "nvmlDeviceGetPowerUsage": 250_500,
    }.items():
        monkeypatch.setattr(pynvml, name, lambda *_, answer=answer: answer)


def values() -> dict[str, float]:
    lines = metrics.render().decode().splitlines()
    samples = [line.split() for line in lines if line.startswith("orfeas_gpu_") and 'gpu="0"' in line]
    return {name.split("{")[0]: float(value) for name, value in samples}


def test_a_gpu_is_told_in_base_units(driver: None) -> None:
    gpu.Monitor().sample()
    assert values() == {
        "orfeas_gpu_utilization_ratio": 0.75,
        "orfeas_gpu_memory_used_bytes": 19 * 2**30,
        "orfeas_gpu_memory_total_bytes": 24 * 2**30,
        "orfeas_gpu_temperature_celsius": 61,
        "orfeas_gpu_power_watts": 250.5,
    }


def test_a_gpu_that_does_not_tell_everything_is_told_as_far_as_it_goes(
    driver: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*_: object) -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)

    monkeypatch.setattr(pynvml, "nvmlDeviceGetUtilizationRates", unsupported)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetMemoryInfo", lambda *_: SimpleNamespace(used=5 * 2**30, total=10 * 2**30))
    gpu.Monitor().sample()
    assert values()["orfeas_gpu_memory_used_bytes"] == 5 * 2**30


def test_without_a_driver_there_is_nothing_to_tell() -> None:
    gpu.Monitor().sample()
