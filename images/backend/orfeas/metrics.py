"""
The metrics of all three processes.

Each process writes its own files below PROMETHEUS_MULTIPROC_DIR, and the api serves them merged. The files carry the
process's name instead of its number: numbers repeat between containers, which do not see each other's, and a recycled
Gunicorn worker would leave a file for each number it ever had. Import this after `orfeas.process.begin`.
"""

import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Literal, TypeVar

import psutil
from prometheus_client import CollectorRegistry, Metric, generate_latest, values
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from orfeas import __version__, process

values.ValueClass = values.MultiProcessValue(process.identity)

from prometheus_client import Counter, Gauge, Histogram  # noqa: E402 - after the choice of the class above

ABSENT = math.nan
"""A gauge of this value is not shown."""
SILENT_SECONDS = 30
"""How long after its last sample a process counts as gone: six of them."""

METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "other")
FORMATS = ("glb", "obj", "stl")
PICTURES = ("png", "jpeg", "webp")
STAGES = ("decode", "segment", "shape", "texture", "validate", "export")
FAILURES = (
    "empty_subject",
    "image_damaged",
    "internal_error",
    "not_watertight",
    "picture_lost",
    "timeout",
    "worker_died",
)
REFUSALS = (
    "file_too_large",
    "image_damaged",
    "image_empty",
    "image_missing",
    "image_too_costly",
    "image_too_large_side",
    "steps_invalid",
    "steps_out_of_range",
    "storage_full",
    "too_many_images",
    "unsupported_format",
    "unsupported_image",
)
EVENTS = ("job_progress", "job_completed", "job_failed")
ENGINES = ("hunyuan3d", "relief")
PROCESSES = ("api", "worker", "realtime")
VOLUMES = ("outputs", "huggingface-cache", "hy3dgen-cache")

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
LONG_SECONDS = (0.1, 0.5, 1, 2.5, 5, 10, 20, 40, 60, 90, 120, 180, 300, 600)
BYTES = tuple(2.0**exponent for exponent in range(10, 28, 2))
COUNTS = (100, 1_000, 10_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_000_000)

M = TypeVar("M", Counter, Histogram)
Labels = tuple[str, ...] | None
"""The values of a label, or None where they are known only to the running studio."""


@dataclass(frozen=True)
class Family:
    metric: Counter | Gauge | Histogram
    labels: dict[str, Labels]


class Group:
    """
    Families that belong together, as docs/metrics.md shows them. Each label is an argument: its name and its values.

    Counters and histograms show 0 before the first event, for each combination of values that are known. Gauges show
    nothing until they are set, and nothing again once they are set to ABSENT.
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self.families: list[Family] = []
        GROUPS.append(self)

    def counter(self, name: str, text: str, **labels: Labels) -> Counter:
        return self._begun(Counter(f"orfeas_{name}", text, labels), labels)

    def histogram(self, name: str, text: str, buckets: tuple[float, ...], **labels: Labels) -> Histogram:
        return self._begun(Histogram(f"orfeas_{name}", text, labels, buckets=buckets), labels)

    def gauge(
        self, name: str, text: str, mode: Literal["livemostrecent", "livesum"] = "livemostrecent", **labels: Labels
    ) -> Gauge:
        created = Gauge(f"orfeas_{name}", text, labels, multiprocess_mode=mode)
        self.families.append(Family(created, labels))
        return created

    def _begun(self, created: M, labels: dict[str, Labels]) -> M:
        known = [values for values in labels.values() if values is not None]
        if labels and len(known) == len(labels):
            for values in product(*known):
                created.labels(*values)
        self.families.append(Family(created, labels))
        return created


GROUPS: list[Group] = []

# The label route is the rule of the application, never the path that was asked for.
_group = Group("HTTP")
http_requests = _group.counter("http_requests_total", "HTTP requests", method=METHODS, route=None, status=None)
http_duration = _group.histogram("http_request_duration_seconds", "Time to answer", SECONDS, route=None)
http_response_size = _group.histogram("http_response_size_bytes", "Sizes of answers", BYTES)
http_request_size = _group.histogram("http_request_size_bytes", "Sizes of request bodies", BYTES)
http_in_progress = _group.gauge(
    "http_requests_in_progress", "Requests that Gunicorn's workers are answering", mode="livesum"
)
http_exceptions = _group.counter("http_exceptions_total", "Requests that failed for a reason of our own")
cross_site_refusals = _group.counter(
    "http_cross_site_refusals_total", "Changes refused because another site asked for them"
)
downloads = _group.counter("downloads_total", "Models sent", format=FORMATS)

_group = Group("Gunicorn")
gunicorn_workers = _group.gauge("gunicorn_workers", "Gunicorn workers that run")
gunicorn_started = _group.counter("gunicorn_worker_starts_total", "Gunicorn workers started")
gunicorn_exited = _group.counter("gunicorn_worker_exits_total", "Gunicorn workers that ended, for whatever reason")
gunicorn_aborted = _group.counter(
    "gunicorn_worker_aborts_total", "Gunicorn workers stopped because they were silent too long"
)
gunicorn_ready = _group.gauge("gunicorn_ready_timestamp_seconds", "When Gunicorn began to listen")

_group = Group("Uploads")
uploads = _group.counter("uploads_total", "Pictures accepted", type=PICTURES)
upload_refusals = _group.counter("upload_refusals_total", "Pictures and forms refused", code=REFUSALS)
upload_size = _group.histogram("upload_size_bytes", "Sizes of accepted pictures", BYTES)
upload_side = _group.histogram(
    "upload_side_pixels", "Longest sides of accepted pictures", (64, 128, 256, 512, 1024, 2048, 4096)
)
upload_check = _group.histogram("upload_check_duration_seconds", "Time to check a picture", SECONDS)
upload_store = _group.histogram("upload_store_duration_seconds", "Time to bring a picture to disk", SECONDS)
files_orphaned = _group.counter("files_orphaned_total", "Files without a job that were removed")

_group = Group("Rate limiting")
rate_limited = _group.counter("rate_limited_requests_total", "Requests refused by a rate limit", limit=("api", "jobs"))

_group = Group("Queue")
jobs_submitted = _group.counter("jobs_submitted_total", "Jobs accepted", format=FORMATS)
submit_failures = _group.counter("job_submit_failures_total", "Jobs refused because Redis was away")
queue_length = _group.gauge("queue_jobs", "Jobs that wait; absent while Redis is away")
queue_age = _group.gauge(
    "queue_oldest_job_age_seconds", "Age of the job that waits longest, 0 without one; absent while Redis is away"
)
queue_wait = _group.histogram("queue_wait_duration_seconds", "Time from acceptance to the start of work", LONG_SECONDS)
jobs_requeued = _group.counter(
    "jobs_requeued_total",
    "Jobs put back to the front of the queue",
    reason=("drained", "lease_lost", "worker_died", "worker_ended"),
)
lease_renewals = _group.counter("job_lease_renewals_total", "Leases of running jobs renewed")
leases_lost = _group.counter("job_leases_lost_total", "Running jobs abandoned because their lease could not be renewed")

_group = Group("Jobs")
jobs_running = _group.gauge("jobs_running", "Jobs that are worked on")
job_slots = _group.gauge("job_slots", "Jobs that can be worked on at once")
jobs_completed = _group.counter("jobs_completed_total", "Jobs that ended with a model", format=FORMATS)
jobs_failed = _group.counter("jobs_failed_total", "Jobs that ended without a model", code=FAILURES)
job_duration = _group.histogram("job_duration_seconds", "Time of work on a completed job", LONG_SECONDS, format=FORMATS)
job_attempts = _group.histogram("job_attempts", "Attempts that a job took until it ended", (1, 2, 3))
worker_draining = _group.gauge("worker_draining", "1 while the worker finishes its last jobs")

_group = Group("Pipeline")
stage_duration = _group.histogram("pipeline_stage_duration_seconds", "Time of a stage", LONG_SECONDS, stage=STAGES)
mesh_faces = _group.histogram("mesh_faces", "Triangles of finished models", COUNTS)
mesh_vertices = _group.histogram("mesh_vertices", "Vertices of finished models", COUNTS)
output_size = _group.histogram("output_size_bytes", "Sizes of finished models", BYTES)

_group = Group("Engine")
engine_info = _group.gauge("engine_info", "1, with the engine as a label", engine=ENGINES)
model_ready = _group.gauge("model_ready", "1 while the model is loaded, as /ready last saw it")
model_load_duration = _group.gauge("model_load_duration_seconds", "Time that the model took to load")
model_load_failures = _group.counter("model_load_failures_total", "Models that did not load")

_group = Group("GPU")
gpu_utilization = _group.gauge("gpu_utilization_ratio", "Share of time in which the GPU computed", gpu=None)
gpu_memory_used = _group.gauge("gpu_memory_used_bytes", "Memory of the GPU in use", gpu=None)
gpu_memory_total = _group.gauge("gpu_memory_total_bytes", "Memory of the GPU", gpu=None)
gpu_memory_limit = _group.gauge(
    "gpu_memory_limit_bytes", "Memory of the GPU that the model may use: GPU_MEMORY_LIMIT of all", gpu=None
)
gpu_temperature = _group.gauge("gpu_temperature_celsius", "Temperature of the GPU", gpu=None)
gpu_temperature_limit = _group.gauge(
    "gpu_temperature_limit_celsius", "Temperature at which the driver slows the GPU down", gpu=None
)
gpu_throttled = _group.gauge("gpu_throttled", "1 while heat slows the GPU down", gpu=None)
gpu_ecc_errors = _group.gauge(
    "gpu_uncorrected_ecc_errors", "Memory errors that could not be corrected, since the driver was loaded", gpu=None
)
gpu_power = _group.gauge("gpu_power_watts", "Power that the GPU draws", gpu=None)

_group = Group("WebSocket")
websocket_clients = _group.gauge("websocket_clients", "Connected Socket.IO clients")
websocket_connects = _group.counter("websocket_connects_total", "Socket.IO connections opened")
websocket_disconnects = _group.counter("websocket_disconnects_total", "Socket.IO connections closed")
websocket_duration = _group.histogram(
    "websocket_connection_duration_seconds", "Durations of Socket.IO connections", (1, 10, 60, 300, 1800, 3600, 86_400)
)
websocket_subscriptions = _group.counter(
    "websocket_subscriptions_total",
    "Subscriptions to jobs",
    outcome=("accepted", "job_not_found", "queue_unavailable"),
)
websocket_rooms = _group.gauge("websocket_rooms", "Jobs that clients follow")
events_published = _group.counter(
    "websocket_events_published_total", "Events about jobs published by the worker", event=EVENTS
)
events_resent = _group.counter(
    "websocket_events_resent_total", "States of jobs sent by the Socket.IO server itself", event=EVENTS
)

_group = Group("Redis")
redis_up = _group.gauge("redis_up", "1 while the process reaches Redis", process=PROCESSES)
redis_duration = _group.histogram(
    "redis_command_duration_seconds", "Time of Redis commands", SECONDS, process=PROCESSES
)
redis_errors = _group.counter("redis_errors_total", "Redis commands that failed", process=PROCESSES)

_group = Group("Processes and volumes")
process_memory = _group.gauge("process_resident_memory_bytes", "Resident memory", mode="livesum", process=PROCESSES)
process_files = _group.gauge("process_open_fds", "Open files", mode="livesum", process=PROCESSES)
process_threads = _group.gauge("process_threads", "Threads", mode="livesum", process=PROCESSES)
process_cpu = _group.counter("process_cpu_seconds_total", "CPU time", process=PROCESSES)
process_started = _group.gauge("process_start_time_seconds", "When the process began", process=PROCESSES)
ready = _group.gauge(
    "ready",
    "1 while the part answers that it is ready, as /ready last saw it",
    part=("worker", "realtime", "redis"),
)
storage_free = _group.gauge("storage_free_bytes", "Free space on a volume", volume=VOLUMES)
storage_size = _group.gauge("storage_size_bytes", "Size of a volume, as far as it can be filled", volume=VOLUMES)
build_info = _group.gauge("build_info", "1, with the version as a label", version=None)

_group = Group("Certificate")
certificate_expiry = _group.gauge(
    "certificate_expiry_timestamp_seconds", "When the studio's certificate expires; absent while there is none"
)

_group = Group("Backup")
BACKUP = {
    field: _group.gauge(f"backup_{field}", text)
    for field, text in {
        "progress_ratio": "Share of the running backup that is done; absent while none runs",
        "last_attempt_timestamp_seconds": "When the last backup ended, well or not",
        "last_attempt_succeeded": "1 if the last backup succeeded, 0 if not",
        "last_success_timestamp_seconds": "When the last backup that succeeded ended",
        "last_success_duration_seconds": "Time that it took",
        "last_success_size_bytes": "Size of the data in it",
        "last_verification_timestamp_seconds": "When a backup was last verified",
        "last_verification_succeeded": "1 if the last verification succeeded, 0 if not",
    }.items()
}
"""By the field of the Redis hash in which the backup's jobs write it."""


class Sampler:
    """Keeps the metrics of the process itself current."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._process = psutil.Process()
        self._cpu = 0.0
        process_started.labels(name).set(self._process.create_time())
        build_info.labels(__version__).set(1)

    def sample(self) -> None:
        with self._process.oneshot():
            process_memory.labels(self._name).set(self._process.memory_info().rss)
            process_files.labels(self._name).set(self._process.num_fds())
            process_threads.labels(self._name).set(self._process.num_threads())
            times = self._process.cpu_times()
        cpu = times.user + times.system
        process_cpu.labels(self._name).inc(max(0.0, cpu - self._cpu))
        self._cpu = cpu
        process.show_life()


def sample_volumes(folders: dict[str, Path]) -> None:
    """Space on the volumes of folders, by the value of the label; absent where there is no such folder."""
    for name, folder in folders.items():
        try:
            usage = psutil.disk_usage(str(folder))
            # Without what the file system reserves for root.
            free, size = usage.free, usage.used + usage.free
        except OSError:
            free = size = ABSENT
        storage_free.labels(name).set(free)
        storage_size.labels(name).set(size)


class Present(Collector):
    """All processes' metrics, merged, without what is no longer so."""

    def collect(self) -> Iterator[Metric]:
        folder = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
        # Gunicorn itself sees to those of its workers, which may have nothing to do for long.
        since = time.time() - SILENT_SECONDS
        silent = {path for name in ("worker", "realtime") for path in process.silent_gauges(folder, name, since)}
        for family in MultiProcessCollector.merge(sorted(set(folder.glob("*.db")) - silent)):
            family.samples = [sample for sample in family.samples if math.isfinite(sample.value)]
            if family.samples:
                yield family


def render() -> bytes:
    """All processes' metrics in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(Present())
    return generate_latest(registry)
