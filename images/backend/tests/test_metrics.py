"""What /metrics tells about all processes, whatever happens to them."""

import os
import re
import runpy
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import requests
from conftest import HERE, SECRET_KEY, Studio, eventually, log_records, png
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from orfeas import metrics

ROOT = HERE.parents[2]
Make = Callable[..., Studio]
# Those that promtool knows, in full and shortened.
NOT_BASE = r"minutes|hours|days|weeks|kelvins|fahrenheit|rankine|inches|yards|miles|bits|calories|pounds|ounces|percent"
SHORT = "s|ms|us|ns|sec|b|kb|mb|gb|tb|pb|m|h|d"
SCALED = "(milli|micro|nano|kilo|mega|giga|kibi|mebi|gibi)(seconds|bytes|watts)"
HEALTH = {"route": "/health", "method": "GET", "status": "200"}


def gunicorn_workers(api: subprocess.Popen[bytes]) -> list[int]:
    return sorted(child.pid for child in psutil.Process(api.pid).children())


def lint(text: str) -> list[str]:
    """What `promtool check metrics` would say."""
    kinds = dict(re.findall(r"^# TYPE (\S+) (\w+)$", text, re.MULTILINE))
    helps = dict(re.findall(r"^# HELP (\S+) (.+)$", text, re.MULTILINE))
    quantiles = re.findall(r'^(\w+?)(?:_bucket)?\{.*\b(?:le|quantile)="', text, re.MULTILINE)
    return [
        f"{name}: {complaint}"
        for name, kind in kinds.items()
        for complaint, found in {
            "no help": name not in helps,
            "not in snake case": not re.fullmatch(r"[a-z][a-z0-9_]*", name),
            "a counter that does not end in _total": kind == "counter" and not name.endswith("_total"),
            "_total, but no counter": kind != "counter" and name.endswith("_total"),
            "a histogram's suffix": kind != "histogram" and re.search(r"_(bucket|count|sum)$", name),
            "a histogram's label": kind != "histogram" and name in quantiles,
            "its type in its name": re.search(r"_(counter|gauge|histogram|summary)(_|$)", name),
            "not a base unit": re.search(rf"_({NOT_BASE}|{SHORT}|{SCALED})(_|$)", name),
        }.items()
        if found
    ]


@pytest.mark.parametrize(
    "text",
    [
        "# TYPE orfeas_a_total counter\norfeas_a_total 1\n",
        "# HELP orfeas_jobs a\n# TYPE orfeas_jobs counter\norfeas_jobs 1\n",
        "# HELP orfeas_jobs_total a\n# TYPE orfeas_jobs_total gauge\norfeas_jobs_total 1\n",
        "# HELP orfeas_jobs_count a\n# TYPE orfeas_jobs_count gauge\norfeas_jobs_count 1\n",
        "# HELP orfeas_wait_minutes a\n# TYPE orfeas_wait_minutes gauge\norfeas_wait_minutes 1\n",
        "# HELP orfeas_wait_milliseconds a\n# TYPE orfeas_wait_milliseconds gauge\norfeas_wait_milliseconds 1\n",
        "# HELP orfeas_size_mb a\n# TYPE orfeas_size_mb gauge\norfeas_size_mb 1\n",
        "# HELP orfeas_jobs_gauge a\n# TYPE orfeas_jobs_gauge gauge\norfeas_jobs_gauge 1\n",
        '# HELP orfeas_wait a\n# TYPE orfeas_wait gauge\norfeas_wait{le="1"} 1\n',
        "# HELP orfeas_waitTime a\n# TYPE orfeas_waitTime gauge\norfeas_waitTime 1\n",
    ],
)
def test_the_lint_finds_what_promtool_finds(text: str) -> None:
    assert len(lint(text)) == 1


def test_there_are_at_least_48_families_named_by_the_rules(studio: Studio) -> None:
    studio.ended(studio.submitted())
    text = studio.get("/metrics").text
    families = list(text_string_to_metric_families(text))
    assert len(families) >= 48
    assert all(family.samples for family in families)
    assert lint(text) == []
    assert not [family.name for family in families if family.name.startswith("orfeas_gpu_")], "there is no GPU here"


def test_families_that_have_no_samples_here_are_named_by_the_rules_too() -> None:
    registry = CollectorRegistry()
    for group in metrics.GROUPS:
        for family in group.families:
            registry.register(family.metric)
    text = generate_latest(registry).decode()
    assert "# TYPE orfeas_gpu_throttled gauge" in text
    assert lint(text) == []


def test_no_label_takes_what_a_client_made_up(studio: Studio) -> None:
    studio.ended(studio.submitted())
    for path in (
        "/api/job-status/0123456789abcdef0123456789abcdef",
        "/api/none-such",
        "/outputs/x.glb",
        "/wp-login.php",
    ):
        studio.get(path)
    assert requests.request("BREW", f"{studio.url}/health", timeout=5).status_code == 405
    values: dict[str, set[str]] = {}
    for _, labels in studio.samples():
        for label, value in labels:
            values.setdefault(label, set()).add(value)
    assert values["method"] <= set(metrics.METHODS)
    assert "other" in values["method"]
    assert values["route"] <= {
        "none",
        "/health",
        "/ready",
        "/metrics",
        "/api/generate-3d",
        "/api/job-status/<job_id>",
        "/outputs/<name>",
    }
    assert all(re.fullmatch("[1-5][0-9]{2}", status) for status in values["status"])


def test_the_reference_lists_them_all() -> None:
    reference = runpy.run_path(str(ROOT / "scripts/metrics-reference"))["reference"]()
    assert (ROOT / "docs/metrics.md").read_text() == reference, "run scripts/metrics-reference"


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
    assert {path.name for path in studio.logs.glob("api-*.log")} == {
        "api-0.log",
        "api-1.log",
        "api-2.log",
    }
    assert studio.metric("orfeas_http_requests_total", **HEALTH) >= 61


def test_counters_go_on_and_gauges_begin_anew_when_a_container_starts_again(make_studio: Make) -> None:
    studio = make_studio().start_all()
    studio.ended(studio.submitted())
    worker = studio.processes[-1]
    # It is what the last request for it found out, as the kubelet's every few seconds.
    eventually(lambda: studio.get("/ready").ok and studio.metric("orfeas_model_ready") == 1)
    eventually(lambda: studio.metric("orfeas_jobs_completed_total") == 1)
    worker.kill()
    worker.wait()
    studio.start("worker", ENGINE="lost")
    eventually(lambda: studio.get("/ready").json()["model"] == "failed")
    assert studio.samples()["orfeas_model_ready", ()] == 0
    assert studio.metric("orfeas_model_load_failures_total") == 1
    assert studio.metric("orfeas_jobs_completed_total") == 1


def age_gauges(studio: Studio, name: str) -> list[Path]:
    """Let it be as if the process had been silent for too long."""
    files = list((studio.folder / "run/metrics").glob(f"gauge_*_{name}.db"))
    silent_since = time.time() - metrics.SILENT_SECONDS - 1
    for file in files:
        os.utime(file, (silent_since, silent_since))
    return files


def test_what_a_worker_said_of_its_present_goes_once_it_is_silent_and_what_it_counted_stays(make_studio: Make) -> None:
    studio = make_studio().start_all()
    studio.ended(studio.submitted())
    present = [("orfeas_queue_jobs", ()), ("orfeas_jobs_running", ()), ("orfeas_redis_up", (("process", "worker"),))]
    eventually(lambda: set(present) <= set(studio.samples()))
    worker = studio.processes[-1]
    worker.kill()
    worker.wait()
    assert studio.get("/ready").status_code == 503
    assert set(present) <= set(studio.samples()), "it may still be there"
    age_gauges(studio, "worker")
    gone = studio.samples()
    assert not set(present) & set(gone)
    assert not [name for name, labels in gone if name.startswith("orfeas_process_resident") and "worker" in str(labels)]
    assert gone["orfeas_ready", (("part", "worker"),)] == 0
    assert gone["orfeas_model_ready", ()] == 0
    assert studio.metric("orfeas_jobs_completed_total") == 1
    assert studio.metric("orfeas_redis_up", process="realtime") == 1
    studio.start("worker")
    eventually(lambda: studio.get("/ready").status_code == 200)
    eventually(lambda: set(present) <= set(studio.samples()))


@pytest.mark.parametrize("name", ["worker", "realtime"])
def test_a_process_without_work_goes_on_to_tell_its_present(studio: Studio, name: str) -> None:
    memory = ("orfeas_process_resident_memory_bytes", (("process", name),))
    eventually(lambda: studio.samples().get(memory))
    age_gauges(studio, name)
    eventually(lambda: studio.samples().get(memory), 30)


def test_the_queue_is_told_while_the_worker_drains_and_not_while_redis_is_away(make_studio: Make) -> None:
    studio = make_studio(MAX_CONCURRENT_JOBS=1).start_all(ENGINE="patient")
    studio.submitted(png(64))
    eventually(lambda: studio.probe() == ["begin 64"])
    studio.processes[-1].terminate()
    eventually(lambda: studio.metric("orfeas_worker_draining") == 1)
    studio.submitted(png(72))
    studio.submitted(png(80))
    eventually(lambda: studio.metric("orfeas_queue_jobs") == 2)
    first = studio.metric("orfeas_queue_oldest_job_age_seconds")
    eventually(lambda: studio.metric("orfeas_queue_oldest_job_age_seconds") > first)
    studio.queue.stop()
    eventually(lambda: ("orfeas_queue_jobs", ()) not in studio.samples())
    assert ("orfeas_queue_oldest_job_age_seconds", ()) not in studio.samples()
    studio.queue.start()
    eventually(lambda: studio.metric("orfeas_queue_jobs") == 2)


def test_each_volume_is_told_once_and_one_that_is_not_there_is_absent(make_studio: Make, tmp_path: Path) -> None:
    (tmp_path / "huggingface").mkdir()
    studio = make_studio(HF_HOME=tmp_path / "huggingface", HY3DGEN_MODELS=tmp_path / "nowhere").start_all()
    size = ("orfeas_storage_size_bytes", (("volume", "outputs"),))
    eventually(lambda: size in studio.samples())
    for name in ("orfeas_storage_free_bytes", "orfeas_storage_size_bytes"):
        volumes = {dict(of)["volume"]: value for (found, of), value in studio.samples().items() if found == name}
        assert set(volumes) == {"outputs", "huggingface-cache"}
        assert min(volumes.values()) > 0
    # As df has it: what the file system reserves for root cannot be filled.
    usage = psutil.disk_usage(str(tmp_path))
    assert studio.samples()[size] == pytest.approx(usage.used + usage.free, rel=0.01)


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
    text = "".join(path.read_text() for path in (studio.folder / "logs").rglob("*.*"))
    for secret in ("hidden-token", "hidden-bearer", SECRET_KEY, "pass/word", "pass%2Fword"):
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
    assert sorted(path.name for path in studio.logs.glob("api-1.log*")) == [
        "api-1.log",
        "api-1.log.1",
        "api-1.log.2",
    ]
    assert requests.get(f"{studio.url}/health", timeout=5).ok
