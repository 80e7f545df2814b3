"""
Gunicorn's configuration for the process `api` of images/backend.

All values come from the environment, checked together with the application's own. The hooks give each worker a slot:
the number under which it writes metrics and logs, which the worker that takes its place has again.
"""

import faulthandler
import logging
import tempfile
import time
from typing import Any

from gunicorn.arbiter import Arbiter
from gunicorn.http.message import Request
from gunicorn.http.wsgi import Response
from gunicorn.workers.sync import SyncWorker

from orfeas import logs, process

MASTER = "api-0"
settings = process.begin(MASTER)

from orfeas import metrics  # noqa: E402 - they open files of the process that has begun

log = logging.getLogger("orfeas.gunicorn")
sampler = metrics.Sampler("api")

bind = f"0.0.0.0:{settings.api_port}"
workers = settings.gunicorn_workers
worker_class = "sync"
timeout = settings.gunicorn_timeout
graceful_timeout = settings.gunicorn_graceful_timeout
max_requests = settings.gunicorn_max_requests
# Workers that began together would otherwise all be replaced together.
max_requests_jitter = max_requests // 10
keepalive = settings.gunicorn_keepalive
# A heartbeat file on a disk would stall the worker whenever the disk does.
worker_tmp_dir = "/dev/shm"
# One copy of the application's code for all workers.
preload_app = True
# It would be written below the home folder, which is read-only.
control_socket_disable = True
logconfig_dict = logs.config(settings, MASTER)


def slot_name(worker: SyncWorker) -> str:
    return f"api-{worker.slot}"


def on_starting(server: Arbiter) -> None:
    """Forget the gauges of workers that an earlier start of this container left."""
    process.forget_gauges(settings.prometheus_multiproc_dir, "api-[1-9]*")
    log.info("starting", extra={"workers": workers})


def when_ready(server: Arbiter) -> None:
    metrics.gunicorn_ready.set_to_current_time()
    sampler.sample()
    log.info("listening", extra={"address": bind})


def pre_fork(server: Arbiter, worker: SyncWorker) -> None:
    """Give the worker the lowest slot that no living worker has."""
    taken = {other.slot for other in server.WORKERS.values()}
    worker.slot = next(slot for slot in range(1, len(taken) + 2) if slot not in taken)
    metrics.gunicorn_started.inc()
    metrics.gunicorn_workers.set(len(taken) + 1)


def post_fork(server: Arbiter, worker: SyncWorker) -> None:
    """Make the forked process a worker of its own: its metrics, its log file, and no connection but its own."""
    global sampler
    process.become(slot_name(worker), settings)
    sampler = metrics.Sampler("api")
    sampler.sample()
    log.info("a worker started", extra={"pid": worker.pid})


def pre_request(worker: SyncWorker, request: Request) -> None:
    worker.request_started = time.perf_counter()
    metrics.http_in_progress.inc()


def post_request(worker: SyncWorker, request: Request, environ: dict[str, Any], response: Response | None) -> None:
    """Measure the request, and log it. Its query is left out: it may hold what is nobody's business."""
    seconds = time.perf_counter() - worker.request_started
    route = environ.get("orfeas.route", "none")
    status = response.status_code if response else 500
    # A file that the kernel sends is not counted as sent.
    sent = (response.sent or response.response_length or 0) if response else 0
    metrics.http_in_progress.dec()
    metrics.http_requests.labels(method_label(request.method), route, status).inc()
    metrics.http_duration.labels(route).observe(seconds)
    metrics.http_response_size.observe(sent)
    metrics.http_request_size.observe(int(environ.get("CONTENT_LENGTH") or 0))
    sampler.sample()
    level = logging.DEBUG if route in ("/health", "/ready", "/metrics") else logging.INFO
    log.log(
        level,
        "request",
        extra={
            "method": request.method,
            "path": request.path,
            "status": status,
            "bytes": sent,
            "seconds": round(seconds, 4),
            "client": environ.get("REMOTE_ADDR"),
            "request_id": environ.get("HTTP_X_REQUEST_ID"),
        },
    )


def method_label(method: str) -> str:
    return method if method in metrics.METHODS else "other"


def child_exit(server: Arbiter, worker: SyncWorker) -> None:
    """Forget the gauges of a worker that ended, however it ended."""
    process.forget_gauges(settings.prometheus_multiproc_dir, slot_name(worker))
    metrics.gunicorn_exited.inc()
    metrics.gunicorn_workers.set(len(server.WORKERS))
    sampler.sample()


def worker_exit(server: Arbiter, worker: SyncWorker) -> None:
    """Forget the gauges of this worker at once, before its parent notices that it ended."""
    process.forget_gauges(settings.prometheus_multiproc_dir, slot_name(worker))
    log.info("a worker ends", extra={"requests": worker.nr})


def worker_abort(worker: SyncWorker) -> None:
    """Show where a worker hangs that was silent for longer than the timeout."""
    metrics.gunicorn_aborted.inc()
    with tempfile.TemporaryFile("w+") as stacks:
        faulthandler.dump_traceback(stacks, all_threads=True)
        stacks.seek(0)
        log.critical("a worker hangs and is stopped", extra={"stacks": stacks.read()})
