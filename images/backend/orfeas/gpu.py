"""What NVIDIA's driver tells about the GPUs of this container."""

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pynvml
from prometheus_client import Gauge

from orfeas import metrics

HEAT = pynvml.nvmlClocksThrottleReasonSwThermalSlowdown | pynvml.nvmlClocksThrottleReasonHwThermalSlowdown

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Device:
    """What computes here, as the driver's handles."""

    part: Any
    """The GPU, or our slice of one that is divided (MIG)."""
    whole: Any
    """The GPU, which is as hot as all of its slices make it."""


class Monitor:
    """Reads the GPUs. Where there is none, it has nothing to say."""

    def __init__(self, memory_limit: float) -> None:
        """`memory_limit` is the share of a GPU's memory that the model may use."""
        try:
            pynvml.nvmlInit()
            self._devices = list(_devices())
        except pynvml.NVMLError as error:
            log.info("no metrics of a GPU", extra={"reason": str(error)})
            self._devices = []
        self._readings: dict[Gauge, Callable[[Device], float]] = {
            metrics.gpu_utilization: lambda gpu: pynvml.nvmlDeviceGetUtilizationRates(gpu.part).gpu / 100,
            metrics.gpu_memory_used: lambda gpu: pynvml.nvmlDeviceGetMemoryInfo(gpu.part).used,
            metrics.gpu_memory_total: lambda gpu: pynvml.nvmlDeviceGetMemoryInfo(gpu.part).total,
            metrics.gpu_memory_limit: lambda gpu: pynvml.nvmlDeviceGetMemoryInfo(gpu.part).total * memory_limit,
            metrics.gpu_temperature: lambda gpu: pynvml.nvmlDeviceGetTemperature(
                gpu.whole, pynvml.NVML_TEMPERATURE_GPU
            ),
            metrics.gpu_temperature_limit: lambda gpu: pynvml.nvmlDeviceGetTemperatureThreshold(
                gpu.whole, pynvml.NVML_TEMPERATURE_THRESHOLD_SLOWDOWN
            ),
            # Its newer name, ClocksEventReasons, is unknown to drivers before 535.
            metrics.gpu_throttled: lambda gpu: bool(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(gpu.whole) & HEAT),
            metrics.gpu_ecc_errors: lambda gpu: pynvml.nvmlDeviceGetTotalEccErrors(
                gpu.whole, pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, pynvml.NVML_VOLATILE_ECC
            ),
            metrics.gpu_power: lambda gpu: pynvml.nvmlDeviceGetPowerUsage(gpu.whole) / 1000,
        }

    def sample(self) -> None:
        """Read each value on its own: few GPUs tell all of them, and one that breaks tells fewer."""
        for index, device in enumerate(self._devices):
            for gauge, read in self._readings.items():
                try:
                    value = read(device)
                except pynvml.NVMLError:
                    value = metrics.ABSENT
                gauge.labels(index).set(value)


def _devices() -> Iterator[Device]:
    for index in range(pynvml.nvmlDeviceGetCount()):
        gpu = pynvml.nvmlDeviceGetHandleByIndex(index)
        yield from [Device(part, gpu) for part in _slices(gpu)] or [Device(gpu, gpu)]


def _slices(gpu: Any) -> Iterator[Any]:
    """The slices of a GPU that this container may use; none where it is not divided."""
    try:
        places = pynvml.nvmlDeviceGetMaxMigDeviceCount(gpu)
    except pynvml.NVMLError:
        return
    for place in range(places):
        with suppress(pynvml.NVMLError):
            yield pynvml.nvmlDeviceGetMigDeviceHandleByIndex(gpu, place)
