"""What NVIDIA's driver tells about the GPUs of this container."""

import logging

import pynvml

from orfeas import metrics

log = logging.getLogger(__name__)


class Monitor:
    """Reads the GPUs. Where there is none, it has nothing to say."""

    def __init__(self) -> None:
        try:
            pynvml.nvmlInit()
            self._devices = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        except pynvml.NVMLError as error:
            log.info("no metrics of a GPU", extra={"reason": str(error)})
            self._devices = []

    def sample(self) -> None:
        for index, device in enumerate(self._devices):
            try:
                memory = pynvml.nvmlDeviceGetMemoryInfo(device)
                metrics.gpu_memory_used.labels(index).set(memory.used)
                metrics.gpu_memory_total.labels(index).set(memory.total)
                metrics.gpu_utilization.labels(index).set(pynvml.nvmlDeviceGetUtilizationRates(device).gpu / 100)
                celsius = pynvml.nvmlDeviceGetTemperature(device, pynvml.NVML_TEMPERATURE_GPU)
                metrics.gpu_temperature.labels(index).set(celsius)
                metrics.gpu_power.labels(index).set(pynvml.nvmlDeviceGetPowerUsage(device) / 1000)
            except pynvml.NVMLError as error:
                # A MIG slice has memory, but neither utilization nor power of its own.
                log.debug("a GPU does not tell everything", extra={"reason": str(error)})
