"""What /metrics tells about all processes, whatever happens to them."""

import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable

import psutil
import requests
from conftest import Studio, eventually, log_records, png
from prometheus_client.parser import text_string_to_metric_families

Make = Callable[..., Studio]
HEALTH = {"route": "/health", "method": "GET", "status": "200"}


def gunicorn_workers(api: subprocess.Popen[bytes]) -> list[int]:
    return sorted(child.pid for child in psutil.Process(api.pid).children())


def test_there_are_at_least_48_families_named_by_the_rules(studio: Studio) -> None:
    studio.ended(studio.submitted())
    studio.samples()
    families = {family.name: family for family in text_string_to_metric_families(studio.get("/metrics").text)}
    with_samples = {name for name, family in families.items() if family.samples}
    assert len(with_samples) >= 48
    for name, family in families.items():
        assert re.fullmatch(r"orfeas_[a-z0-9_]+", name)
        assert len(family.documentation) > 3
        assert not re.search(r"(milliseconds|_ms|kilobytes|_mb|percent)$", name)
        labels = {label for sample in family.samples for label in sample.labels}
        assert not labels & {"path", "url", "job_id", "client", "pid", "instance", "job"}
        if family.type == "histogram":
            assert not name.endswith("_total")
    assert not [name for name in families if name.startswith("orfeas_gpu_")], "there is no GPU here"


def test_requests_are_counted_once_over_all_gunicorn_workers_also_after_one_was_killed(make_studio: Make) -> None:
    studio = make_studio(GUNICORN_WORKERS=2)
    api = studio.start("api")
    eventually(lambda: studio.get("/health").ok)
    eventually(lambda: len(gunicorn_workers(api)) == 2)
    before = studio.metric("orfeas_http_requests_total", **HEALTH)
    for _ in range(40):
        assert studio.get("/health").ok
    eventually(lambda: studio.metric("orfeas_http_requests_total", **HEALTH) == before + 40)
    workers = gunicorn_workers(api)
    os.kill(workers[0], signal.SIGKILL)
    eventually(lambda: len(found := gunicorn_workers(api)) == 2 and found != workers)
    for _ in range(40):
        assert studio.get("/health").ok
    eventually(lambda: studio.metric("orfeas_http_requests_total", **HEALTH) == before + 80)
    assert studio.metric("orfeas_http_requests_in_progress") == 1, "the one that asks for the metrics"
    assert studio.metric("orfeas_gunicorn_workers") == 2
    assert studio.metric("orfeas_gunicorn_worker_starts_total") == 3
    assert studio.metric("orfeas_gunicorn_worker_exits_total") == 1


def test_workers_that_are_replaced_leave_no_files_behind(make_studio: Make) -> None:
    studio = make_studio(GUNICORN_WORKERS=2, GUNICORN_MAX_REQUESTS=5)
    api = studio.start("api")
    eventually(lambda: studio.get("/health").ok)
    for _ in range(60):
        eventually(lambda: studio.get("/health").ok)
    eventually(lambda: len(gunicorn_workers(api)) == 2)
    assert studio.metric("orfeas_gunicorn_worker_exits_total") >= 5
    names = {path.stem.split("_")[-1] for path in (studio.folder / "run/metrics").iterdir()}
    assert names == {"api-0", "api-1", "api-2"}
    assert {path.name for path in (studio.folder / "logs").glob("api-*.log")} == {
        "api-0.log",
        "api-1.log",
        "api-2.log",
    }
    assert studio.metric("orfeas_http_requests_total", **HEALTH) >= 61


def test_counters_go_on_and_gauges_begin_anew_when_a_container_starts_again(make_studio: Make) -> None:
    studio = make_studio().start_all()
    studio.ended(studio.submitted())
    worker = studio.processes[-1]
    eventually(lambda: studio.metric("orfeas_model_ready") == 1)
    eventually(lambda: studio.metric("orfeas_jobs_completed_total") == 1)
    worker.kill()
    worker.wait()
    studio.start("worker", ENGINE="lost")
    eventually(lambda: studio.get("/ready").json()["model"] == "failed")
    assert studio.metric("orfeas_model_ready") == 0
    assert studio.metric("orfeas_model_load_failures_total") == 1
    assert studio.metric("orfeas_jobs_completed_total") == 1


def test_a_job_shows_in_the_metrics_of_each_process(make_studio: Make) -> None:
    studio = make_studio().start_all()
    studio.ended(studio.submitted(png(), format="stl"))
    studio.submit(b"no picture")
    eventually(lambda: studio.metric("orfeas_jobs_completed_total", format="stl") == 1)
    for name, labels in {
        "orfeas_uploads_total": {"type": "png"},
        "orfeas_upload_refusals_total": {"code": "unsupported_image"},
        "orfeas_jobs_submitted_total": {"format": "stl"},
        "orfeas_queue_wait_duration_seconds_count": {},
        "orfeas_job_duration_seconds_count": {"format": "stl"},
        "orfeas_pipeline_stage_duration_seconds_count": {"stage": "shape"},
        "orfeas_mesh_faces_count": {},
        "orfeas_websocket_events_published_total": {"event": "job_completed"},
    }.items():
        assert studio.metric(name, **labels) == 1, name
    for process in ("api", "worker", "realtime"):
        assert studio.metric("orfeas_redis_up", process=process) == 1
        eventually(lambda name=process: studio.metric("orfeas_process_resident_memory_bytes", process=name) > 10e6)


def test_a_hanging_worker_is_replaced_and_its_log_says_where_it_hung(make_studio: Make) -> None:
    studio = make_studio(GUNICORN_WORKERS=1, GUNICORN_TIMEOUT=2)
    studio.start("api")
    eventually(lambda: studio.get("/health").ok)
    # A form that never ends keeps a worker waiting.
    with socket.create_connection(("127.0.0.1", studio.ports["api"])) as slow:
        slow.sendall(
            b"POST /api/generate-3d HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n"
            b"Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n"
        )
        eventually(lambda: studio.metric("orfeas_gunicorn_worker_aborts_total") == 1)
    (record,) = [record for record in log_records(studio, "api-1") if "stacks" in record]
    assert "generate" in record["stacks"]
    eventually(lambda: studio.get("/health").ok)


def test_logs_are_json_and_hold_no_secrets_or_queries(make_studio: Make) -> None:
    studio = make_studio(GUNICORN_WORKERS=1).start_all()
    studio.get("/api/x?token=hidden-token", headers={"Authorization": "Bearer hidden-bearer", "X-Request-ID": "req-1"})
    studio.ended(studio.submitted())
    studio.stop()
    text = "".join(path.read_text() for path in (studio.folder / "logs").iterdir())
    for secret in ("hidden-token", "hidden-bearer", str(studio.environment["SECRET_KEY"]), "pass/word", "pass%2Fword"):
        assert secret not in text
    records = [record for name in ("api-0", "api-1", "worker", "realtime") for record in log_records(studio, name)]
    assert all({"time", "level", "logger", "message", "process"} <= set(record) for record in records)
    (request,) = [record for record in records if record.get("request_id") == "req-1"]
    assert (request["path"], request["status"], request["client"]) == ("/api/x", 404, "127.0.0.1")


def test_log_files_are_rotated(make_studio: Make) -> None:
    studio = make_studio(GUNICORN_WORKERS=1, LOG_MAX_BYTES=2000, LOG_BACKUP_COUNT=2, LOG_FORMAT="text")
    studio.start("api")
    eventually(lambda: studio.get("/health").ok)
    for _ in range(60):
        studio.get("/api/x")
    assert sorted(path.name for path in (studio.folder / "logs").glob("api-1.log*")) == [
        "api-1.log",
        "api-1.log.1",
        "api-1.log.2",
    ]
    assert requests.get(f"{studio.url}/health", timeout=5).ok
