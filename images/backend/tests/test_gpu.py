"""Metrics of GPUs, with a stand-in for NVIDIA's driver."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest

from orfeas import gpu, metrics

GIBIBYTE = 2**30
VALUES = {
    "DeviceGetMemoryInfo": {"memory_used_bytes", "memory_total_bytes", "memory_limit_bytes"},
    "DeviceGetUtilizationRates": {"utilization_ratio"},
    "DeviceGetTemperature": {"temperature_celsius"},
    "DeviceGetTemperatureThreshold": {"temperature_limit_celsius"},
    "DeviceGetCurrentClocksThrottleReasons": {"throttled"},
    "DeviceGetTotalEccErrors": {"uncorrected_ecc_errors"},
    "DeviceGetPowerUsage": {"power_watts"},
}
"""What the driver's functions give."""
Tell = Callable[..., None]


@pytest.fixture
def tell(monkeypatch: pytest.MonkeyPatch) -> Tell:
    """Changes what the driver tells, by the name of its function. An error is raised, and a function is asked."""

    def tell(**answers: Any) -> None:
        for name, answer in answers.items():

            def told(*arguments: Any, answer: Any = answer) -> Any:
                if isinstance(answer, pynvml.NVMLError):
                    raise answer
                return answer(*arguments) if callable(answer) else answer

            monkeypatch.setattr(pynvml, f"nvml{name}", told)

    tell(
        Init=None,
        DeviceGetCount=1,
        DeviceGetHandleByIndex=lambda index: f"gpu-{index}",
        DeviceGetMaxMigDeviceCount=pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED),
        DeviceGetMemoryInfo=SimpleNamespace(used=19 * GIBIBYTE, total=24 * GIBIBYTE),
        DeviceGetUtilizationRates=SimpleNamespace(gpu=75),
        DeviceGetTemperature=61,
        DeviceGetTemperatureThreshold=90,
        DeviceGetCurrentClocksThrottleReasons=pynvml.nvmlClocksThrottleReasonSwPowerCap,
        DeviceGetTotalEccErrors=0,
        DeviceGetPowerUsage=250_500,
    )
    return tell


@pytest.fixture(autouse=True)
def _forget() -> Any:
    """Leave nothing of a GPU to the tests of other files."""
    yield
    for index in (0, 1):
        for family in next(group for group in metrics.GROUPS if group.title == "GPU").families:
            family.metric.labels(index).set(metrics.ABSENT)


def shown(index: int = 0) -> dict[str, float]:
    """What /metrics tells about a GPU, by the metric's name without `orfeas_gpu_`."""
    samples = [line.split() for line in metrics.render().decode().splitlines() if f'{{gpu="{index}"}}' in line]
    return {name.split("{")[0].removeprefix("orfeas_gpu_"): float(value) for name, value in samples}


def test_a_gpu_is_told_in_base_units(tell: Tell) -> None:
    gpu.Monitor(0.5).sample()
    assert shown() == {
        "utilization_ratio": 0.75,
        "memory_used_bytes": 19 * GIBIBYTE,
        "memory_total_bytes": 24 * GIBIBYTE,
        "memory_limit_bytes": 12 * GIBIBYTE,
        "temperature_celsius": 61,
        "temperature_limit_celsius": 90,
        "throttled": 0,
        "uncorrected_ecc_errors": 0,
        "power_watts": 250.5,
    }
    assert shown(1) == {}


@pytest.mark.parametrize("reason", ["SwThermalSlowdown", "HwThermalSlowdown"])
def test_heat_that_slows_a_gpu_down_is_told_and_other_reasons_are_not(tell: Tell, reason: str) -> None:
    heat = getattr(pynvml, f"nvmlClocksThrottleReason{reason}")
    tell(DeviceGetCurrentClocksThrottleReasons=heat | pynvml.nvmlClocksThrottleReasonSwPowerCap)
    gpu.Monitor(0.8).sample()
    assert shown()["throttled"] == 1
    tell(DeviceGetCurrentClocksThrottleReasons=pynvml.nvmlClocksThrottleReasonGpuIdle)
    gpu.Monitor(0.8).sample()
    assert shown()["throttled"] == 0


def test_two_gpus_are_told_apart(tell: Tell) -> None:
    tell(DeviceGetCount=2, DeviceGetTemperature=lambda device, _: {"gpu-0": 50, "gpu-1": 70}[device])
    gpu.Monitor(0.8).sample()
    assert shown(0)["temperature_celsius"] == 50
    assert shown(1)["temperature_celsius"] == 70


def test_each_value_that_a_gpu_does_not_tell_is_absent_and_hides_no_other(tell: Tell) -> None:
    gpu.Monitor(0.8).sample()
    everything = shown()
    for function, missing in VALUES.items():
        answer = getattr(pynvml, f"nvml{function}")
        tell(**{function: pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)})
        gpu.Monitor(0.8).sample()
        assert set(everything) - set(shown()) == missing
        tell(**{function: answer})


def test_a_slice_has_its_own_memory_and_the_heat_of_the_whole_gpu(tell: Tell) -> None:
    def slice_at(_: str, place: int) -> str:
        if place == 2:
            return "slice"
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)

    def of_the_whole(device: str, *_: int) -> int:
        if device == "slice":
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return 66

    tell(
        DeviceGetMaxMigDeviceCount=7,
        DeviceGetMigDeviceHandleByIndex=slice_at,
        DeviceGetUtilizationRates=pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED),
        DeviceGetTemperature=of_the_whole,
        DeviceGetMemoryInfo=lambda device: SimpleNamespace(
            used=5 * GIBIBYTE, total={"slice": 10, "gpu-0": 80}[device] * GIBIBYTE
        ),
    )
    gpu.Monitor(0.8).sample()
    assert shown()["memory_total_bytes"] == 10 * GIBIBYTE
    assert shown()["memory_limit_bytes"] == 8 * GIBIBYTE
    assert shown()["temperature_celsius"] == 66
    assert "utilization_ratio" not in shown()
    assert shown(1) == {}


def test_a_gpu_that_is_lost_later_is_absent_until_it_is_back(tell: Tell) -> None:
    monitor = gpu.Monitor(0.8)
    monitor.sample()
    assert shown()["temperature_celsius"] == 61
    tell(**dict.fromkeys(VALUES, pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)))
    monitor.sample()
    assert shown() == {}
    tell(DeviceGetTemperature=44)
    monitor.sample()
    assert shown() == {"temperature_celsius": 44}


def test_without_a_driver_there_is_nothing_to_tell(tell: Tell) -> None:
    tell(Init=pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND))
    gpu.Monitor(0.8).sample()
    assert shown() == {}
