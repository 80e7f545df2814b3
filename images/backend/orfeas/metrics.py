"""
The metrics of all three processes.

Each process writes its own files below PROMETHEUS_MULTIPROC_DIR, and the api serves them merged. The files carry the
process's name instead of its number: numbers repeat between containers, which do not see each other's, and a recycled
Gunicorn worker would leave a file for each number it ever had. Import this after `orfeas.process.begin`.
"""

import psutil
from prometheus_client import CollectorRegistry, generate_latest, values
from prometheus_client.multiprocess import MultiProcessCollector

from orfeas import __version__, process

values.ValueClass = values.MultiProcessValue(process.identity)

from prometheus_client import Counter, Gauge, Histogram  # noqa: E402 - after the choice of the class above

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
    "image_too_large_side",
    "steps_invalid",
    "steps_out_of_range",
    "storage_full",
    "too_many_images",
    "unsupported_format",
    "unsupported_image",
)
EVENTS = ("job_progress", "job_completed", "job_failed")
PROCESSES = ("api", "worker", "realtime")

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
LONG_SECONDS = (0.1, 0.5, 1, 2.5, 5, 10, 20, 40, 60, 90, 120, 180, 300, 600)
BYTES = tuple(2.0**exponent for exponent in range(10, 28, 2))
COUNTS = (100, 1_000, 10_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_000_000)


def counter(name: str, text: str, label: str | None = None, of: tuple[str, ...] = ()) -> Counter:
    """A counter that shows 0 before the first event, for each value of its label."""
    created = Counter(f"orfeas_{name}", text, [label] if label else [])
    for value in of:
        created.labels(value)
    return created


def gauge(
    name: str, text: str, label: str | None = None, of: tuple[str, ...] = (), mode: str = "livemostrecent"
) -> Gauge:
    created = Gauge(f"orfeas_{name}", text, [label] if label else [], multiprocess_mode=mode)
    for value in of:
        created.labels(value)
    return created


def histogram(
    name: str, text: str, buckets: tuple[float, ...], label: str | None = None, of: tuple[str, ...] = ()
) -> Histogram:
    created = Histogram(f"orfeas_{name}", text, [label] if label else [], buckets=buckets)
    for value in of:
        created.labels(value)
    return created


# HTTP: the label route is the rule of the application, never the path that was asked for.
http_requests = Counter("orfeas_http_requests_total", "HTTP requests", ["method", "route", "status"])
http_duration = Histogram("orfeas_http_request_duration_seconds", "Time to answer", ["route"], buckets=SECONDS)
http_response_size = histogram("http_response_size_bytes", "Sizes of answers", BYTES)
http_request_size = histogram("http_request_size_bytes", "Sizes of request bodies", BYTES)
http_in_progress = gauge("http_requests_in_progress", "Requests that Gunicorn's workers are answering", mode="livesum")
http_exceptions = counter("http_exceptions_total", "Requests that failed for a reason of our own")
cross_site_refusals = counter("http_cross_site_refusals_total", "Changes refused because another site asked for them")
downloads = counter("downloads_total", "Models sent", "format", FORMATS)

# Gunicorn
gunicorn_workers = gauge("gunicorn_workers", "Gunicorn workers that run")
gunicorn_started = counter("gunicorn_worker_starts_total", "Gunicorn workers started")
gunicorn_exited = counter("gunicorn_worker_exits_total", "Gunicorn workers that ended, for whatever reason")
gunicorn_aborted = counter("gunicorn_worker_aborts_total", "Gunicorn workers stopped because they were silent too long")
gunicorn_ready = gauge("gunicorn_ready_timestamp_seconds", "When Gunicorn began to listen")

# Uploads
uploads = counter("uploads_total", "Pictures accepted", "type", PICTURES)
upload_refusals = counter("upload_refusals_total", "Pictures and forms refused", "code", REFUSALS)
upload_size = histogram("upload_size_bytes", "Sizes of accepted pictures", BYTES)
upload_side = histogram(
    "upload_side_pixels", "Longest sides of accepted pictures", (64, 128, 256, 512, 1024, 2048, 4096)
)
upload_check = histogram("upload_check_duration_seconds", "Time to check a picture", SECONDS)
upload_store = histogram("upload_store_duration_seconds", "Time to bring a picture to disk", SECONDS)
files_orphaned = counter("files_orphaned_total", "Files without a job that were removed")

# Rate limiting
rate_limited = counter("rate_limited_requests_total", "Requests refused by a rate limit", "limit", ("api", "jobs"))

# Queue
jobs_submitted = counter("jobs_submitted_total", "Jobs accepted", "format", FORMATS)
submit_failures = counter("job_submit_failures_total", "Jobs refused because Redis was away")
queue_length = gauge("queue_jobs", "Jobs that wait")
queue_age = gauge("queue_oldest_job_age_seconds", "Age of the job that waits longest")
queue_wait = histogram("queue_wait_duration_seconds", "Time from acceptance to the start of work", LONG_SECONDS)
jobs_requeued = counter(
    "jobs_requeued_total",
    "Jobs put back to the front of the queue",
    "reason",
    ("drained", "lease_lost", "worker_died", "worker_ended"),
)
lease_renewals = counter("job_lease_renewals_total", "Leases of running jobs renewed")
leases_lost = counter("job_leases_lost_total", "Running jobs abandoned because their lease could not be renewed")

# Jobs
jobs_running = gauge("jobs_running", "Jobs that are worked on")
job_slots = gauge("job_slots", "Jobs that can be worked on at once")
jobs_completed = counter("jobs_completed_total", "Jobs that ended with a model", "format", FORMATS)
jobs_failed = counter("jobs_failed_total", "Jobs that ended without a model", "code", FAILURES)
job_duration = histogram("job_duration_seconds", "Time of work on a completed job", LONG_SECONDS, "format", FORMATS)
job_attempts = histogram("job_attempts", "Attempts that a job took until it ended", (1, 2, 3))
stage_duration = histogram("pipeline_stage_duration_seconds", "Time of a stage", LONG_SECONDS, "stage", STAGES)
mesh_faces = histogram("mesh_faces", "Triangles of finished models", COUNTS)
mesh_vertices = histogram("mesh_vertices", "Vertices of finished models", COUNTS)
output_size = histogram("output_size_bytes", "Sizes of finished models", BYTES)
worker_draining = gauge("worker_draining", "1 while the worker finishes its last jobs")

# Engine
engine_info = gauge("engine_info", "The engine, as a label", "engine")
model_ready = gauge("model_ready", "1 once the model is loaded")
model_load_duration = gauge("model_load_duration_seconds", "Time that the model took to load")
model_load_failures = counter("model_load_failures_total", "Models that did not load")

# GPU: samples exist only where there is one.
gpu_utilization = gauge("gpu_utilization_ratio", "Share of time in which the GPU computed", "gpu")
gpu_memory_used = gauge("gpu_memory_used_bytes", "Memory of the GPU in use", "gpu")
gpu_memory_total = gauge("gpu_memory_total_bytes", "Memory of the GPU", "gpu")
gpu_temperature = gauge("gpu_temperature_celsius", "Temperature of the GPU", "gpu")
gpu_power = gauge("gpu_power_watts", "Power that the GPU draws", "gpu")

# WebSocket
websocket_clients = gauge("websocket_clients", "Connected Socket.IO clients")
websocket_connects = counter("websocket_connects_total", "Socket.IO connections opened")
websocket_disconnects = counter("websocket_disconnects_total", "Socket.IO connections closed")
websocket_duration = histogram(
    "websocket_connection_duration_seconds", "Durations of Socket.IO connections", (1, 10, 60, 300, 1800, 3600, 86_400)
)
websocket_subscriptions = counter(
    "websocket_subscriptions_total",
    "Subscriptions to jobs",
    "outcome",
    ("accepted", "job_not_found", "queue_unavailable"),
)
websocket_rooms = gauge("websocket_rooms", "Jobs that clients follow")
events_published = counter(
    "websocket_events_published_total", "Events about jobs published by the worker", "event", EVENTS
)
events_resent = counter(
    "websocket_events_resent_total", "States of jobs sent by the Socket.IO server itself", "event", EVENTS
)

# Redis
redis_up = gauge("redis_up", "1 while the process reaches Redis", "process", PROCESSES)
redis_duration = histogram("redis_command_duration_seconds", "Time of Redis commands", SECONDS, "process", PROCESSES)
redis_errors = counter("redis_errors_total", "Redis commands that failed", "process", PROCESSES)

# Processes and volumes
process_memory = gauge("process_resident_memory_bytes", "Resident memory", "process", PROCESSES, mode="livesum")
process_files = gauge("process_open_fds", "Open files", "process", PROCESSES, mode="livesum")
process_threads = gauge("process_threads", "Threads", "process", PROCESSES, mode="livesum")
process_cpu = counter("process_cpu_seconds_total", "CPU time", "process", PROCESSES)
process_started = gauge("process_start_time_seconds", "When the process began", "process", PROCESSES)
storage_free = gauge("storage_free_bytes", "Free space", "volume", ("outputs", "logs"))
storage_size = gauge("storage_size_bytes", "Size", "volume", ("outputs", "logs"))
ready = gauge(
    "ready", "1 while the part answers that it is ready, as /ready last saw it", "part", ("worker", "realtime", "redis")
)
build_info = gauge("build_info", "The version, as a label", "version")


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


def sample_volumes(**folders: str) -> None:
    """Space on the volumes of folders, by the name of the label's value."""
    for name, folder in folders.items():
        usage = psutil.disk_usage(folder)
        storage_free.labels(name).set(usage.free)
        storage_size.labels(name).set(usage.total)


def render() -> bytes:
    """All processes' metrics, merged, in Prometheus' text format."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    return generate_latest(registry)
