"""What happens to jobs when processes come and go."""

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
import requests
from conftest import RedisServer, Studio, encoded, error_of, eventually, free_port, png
from PIL import Image

from orfeas import jobs
from orfeas.worker import service

Make = Callable[..., Studio]
PATIENT = {"ENGINE": "patient"}
# Leases that a test can wait out.
BRIEF = {"ENGINE": "patient", "LEASE_SECONDS": 4}
# Leases that no test waits out.
LONG = {"ENGINE": "patient", "LEASE_SECONDS": 1000}


def started(studio: Studio, times: int = 1) -> bool:
    return sum(line.startswith("begin") for line in studio.probe()) >= times


def test_jobs_are_done_in_the_order_of_their_acceptance(make_studio: Make) -> None:
    studio = make_studio(MAX_CONCURRENT_JOBS=1)
    studio.start("api")
    eventually(lambda: studio.get("/health").ok)
    accepted = [studio.submitted(png(side)) for side in (40, 50, 60)]
    studio.let_go()
    studio.start("worker", **PATIENT)
    for job in accepted:
        assert studio.ended(job)["status"] == "completed"
    assert [line for line in studio.probe() if "begin" in line] == ["begin 40", "begin 50", "begin 60"]


def test_a_job_begins_as_soon_as_the_one_before_has_ended(make_studio: Make) -> None:
    tick = 5
    studio = make_studio(MAX_CONCURRENT_JOBS=1)
    studio.start("api")
    eventually(lambda: studio.get("/health").ok)
    first, *others = [studio.submitted(png(side)) for side in (40, 50, 60)]
    studio.let_go()
    studio.start("worker", **LONG, TICK_SECONDS=tick)
    studio.ended(first)
    begun = time.monotonic()
    for job in others:
        studio.ended(job)
    assert time.monotonic() - begun < tick


def test_as_many_jobs_as_allowed_run_at_once(make_studio: Make) -> None:
    studio = make_studio(MAX_CONCURRENT_JOBS=2)
    studio.start("api")
    studio.start("worker", **PATIENT)
    eventually(lambda: studio.get("/health").ok)
    accepted = [studio.submitted(png(side)) for side in (40, 50, 60)]
    eventually(lambda: started(studio, 2))
    states = eventually(
        lambda: (
            found
            if sorted(found := [studio.state(job)["status"] for job in accepted])
            == ["processing", "processing", "queued"]
            else None
        )
    )
    assert states[2] == "queued"
    studio.let_go()
    for job in accepted:
        assert studio.ended(job)["status"] == "completed"


def test_the_picture_is_removed_and_the_model_stays_when_a_job_has_ended(studio: Studio) -> None:
    job = studio.submitted()
    state = studio.ended(job)
    assert state["outputs"] == [
        {"url": f"/outputs/{job}.glb", "bytes": (studio.folder / "outputs" / f"{job}.glb").stat().st_size}
    ]
    eventually(lambda: not list((studio.folder / "uploads").iterdir()))
    assert not list((studio.folder / "outputs").glob(f".{job}*"))


def test_progress_never_goes_back(make_studio: Make) -> None:
    studio = make_studio()
    studio.start("api")
    studio.start("worker", **PATIENT)
    eventually(lambda: studio.get("/health").ok)
    job = studio.submitted()
    seen: list[float] = []

    def watched() -> bool:
        seen.append(studio.state(job)["progress"])
        return len(set(seen)) >= 5

    eventually(watched)
    studio.let_go()
    assert studio.ended(job)["progress"] == 1
    assert seen == sorted(seen)
    assert all(0 <= progress < 1 for progress in seen)


def test_a_job_whose_worker_was_killed_is_done_again_at_once_by_the_worker_that_replaces_it(make_studio: Make) -> None:
    studio = make_studio(MAX_CONCURRENT_JOBS=1)
    studio.start("api")
    eventually(lambda: studio.get("/health").ok)
    worker = studio.start("worker", **LONG)
    first, second = studio.submitted(png(40)), studio.submitted(png(50))
    eventually(lambda: started(studio))
    worker.kill()
    worker.wait()
    studio.let_go()
    studio.start("worker", **LONG)
    assert studio.ended(first)["status"] == "completed"
    assert studio.ended(second)["status"] == "completed"
    assert studio.probe() == ["begin 40", "begin 40", "end 40", "begin 50", "end 50"]
    eventually(lambda: not list((studio.folder / "uploads").iterdir()))


def test_a_lease_is_over_within_20_seconds() -> None:
    assert jobs.LEASE_SECONDS + service.REAP_SECONDS + service.TICK_SECONDS < 20


def test_a_job_whose_worker_was_killed_is_done_again_by_another_pods_once_its_lease_is_over(make_studio: Make) -> None:
    studio = make_studio()
    studio.start("api")
    eventually(lambda: studio.get("/health").ok)
    doomed = studio.start("worker", **BRIEF)
    job = studio.submitted(png(40))
    eventually(lambda: started(studio))
    doomed.kill()
    doomed.wait()
    studio.start("worker", **BRIEF, POD_NAME="pod-2")
    eventually(lambda: started(studio, 2))
    studio.let_go()
    assert studio.ended(job)["status"] == "completed"
    assert studio.probe().count("end 40") == 1
    assert "overlap 40" not in studio.probe()


def test_two_workers_never_work_on_the_same_job_at_once(make_studio: Make) -> None:
    studio = make_studio(MAX_CONCURRENT_JOBS=2)
    studio.start("api")
    eventually(lambda: studio.get("/health").ok)
    accepted = [studio.submitted(png(side)) for side in range(40, 60)]
    studio.let_go()
    studio.start("worker", ENGINE="patient")
    studio.start("worker", ENGINE="patient", POD_NAME="pod-2", WORKER_PORT=free_port())
    for job in accepted:
        assert studio.ended(job)["status"] == "completed"
    assert sorted(studio.probe()) == sorted(f"{what} {side}" for side in range(40, 60) for what in ("begin", "end"))


def test_a_worker_that_slept_through_its_lease_does_not_touch_what_another_has_done(make_studio: Make) -> None:
    studio = make_studio()
    studio.start("api")
    eventually(lambda: studio.get("/health").ok)
    sleeper = studio.start("worker", **BRIEF)
    job = studio.submitted(png(40))
    eventually(lambda: started(studio))
    sleeper.send_signal(signal.SIGSTOP)
    studio.start("worker", **BRIEF, POD_NAME="pod-2", WORKER_PORT=free_port())
    eventually(lambda: started(studio, 2))
    sleeper.send_signal(signal.SIGCONT)
    eventually(lambda: "is stopped" in (studio.logs / "worker.log").read_text() or sleeper.poll() is not None)
    studio.let_go()
    assert studio.ended(job)["status"] == "completed"
    assert sum(line == "end 40" for line in studio.probe()) == 1


def test_a_job_survives_a_short_restart_of_redis_without_being_begun_again(
    make_studio: Make, private_redis: RedisServer
) -> None:
    studio = make_studio().start_all(**PATIENT)
    running = studio.submitted(png(40))
    eventually(lambda: started(studio))
    private_redis.stop()
    response = studio.submit(png(50))
    assert (response.status_code, error_of(response)) == (503, "queue_unavailable")
    assert int(response.headers["Retry-After"]) > 0
    assert error_of(studio.get(f"/api/job-status/{running}")) == "queue_unavailable"
    assert studio.get("/health").status_code == 200
    state = studio.get("/ready").json()
    assert (state["ready"], state["redis"]) == (False, "unreachable")
    private_redis.start()
    eventually(lambda: studio.get("/ready").status_code == 200)
    later = studio.submitted(png(60))
    studio.let_go()
    assert studio.ended(running)["status"] == "completed"
    assert studio.ended(later)["status"] == "completed"
    assert studio.probe().count("begin 40") == 1
    assert [process.poll() for process in studio.processes] == [None, None, None]


def test_a_job_that_cannot_keep_its_lease_is_stopped_and_done_again_when_redis_is_back(
    make_studio: Make, private_redis: RedisServer
) -> None:
    studio = make_studio().start_all(**BRIEF)
    job = studio.submitted(png(40))
    eventually(lambda: started(studio))
    private_redis.stop()
    eventually(lambda: "is stopped" in (studio.logs / "worker.log").read_text())
    private_redis.start()
    eventually(lambda: started(studio, 2))
    studio.let_go()
    assert studio.ended(job)["status"] == "completed"
    assert studio.probe().count("end 40") == 1
    assert "overlap 40" not in studio.probe()
    assert [process.poll() for process in studio.processes] == [None, None, None]


def test_a_stopped_worker_finishes_its_jobs_and_takes_no_more(make_studio: Make) -> None:
    studio = make_studio(MAX_CONCURRENT_JOBS=1, DRAIN_SECONDS=60)
    studio.start("api")
    worker = studio.start("worker", **PATIENT)
    eventually(lambda: studio.get("/health").ok)
    running, waiting = studio.submitted(png(40)), studio.submitted(png(50))
    eventually(lambda: started(studio))
    worker.terminate()
    eventually(lambda: worker_state(studio).get("draining"))
    outlasting = studio.start("outlast")
    assert worker_state(studio)["ready"]
    assert outlasting.poll() is None
    studio.let_go()
    assert worker.wait(20) == 0
    assert outlasting.wait(10) == 0
    assert studio.state(running)["status"] == "completed"
    assert studio.state(waiting)["status"] == "queued"
    assert studio.probe() == ["begin 40", "end 40"]


def test_a_stopped_worker_puts_back_to_the_front_what_it_cannot_finish_in_time(make_studio: Make) -> None:
    studio = make_studio(MAX_CONCURRENT_JOBS=1, DRAIN_SECONDS=1)
    studio.start("api")
    worker = studio.start("worker", **PATIENT)
    eventually(lambda: studio.get("/health").ok)
    running, waiting = studio.submitted(png(40)), studio.submitted(png(50))
    eventually(lambda: started(studio))
    worker.terminate()
    assert worker.wait(20) == 0
    assert [studio.state(job)["status"] for job in (running, waiting)] == ["queued", "queued"]
    studio.let_go()
    studio.start("worker", **PATIENT)
    assert studio.ended(waiting)["status"] == "completed"
    assert studio.probe() == ["begin 40", "begin 40", "end 40", "begin 50", "end 50"]


def test_a_stopped_worker_ends_though_redis_is_away(make_studio: Make, private_redis: RedisServer) -> None:
    studio = make_studio(DRAIN_SECONDS=1)
    studio.start("api")
    worker = studio.start("worker", **PATIENT)
    eventually(lambda: studio.get("/health").ok)
    job = studio.submitted(png(40))
    eventually(lambda: started(studio))
    private_redis.stop()
    worker.terminate()
    assert worker.wait(60) == 0
    private_redis.start()
    studio.let_go()
    studio.start("worker", **PATIENT)
    assert studio.ended(job)["status"] == "completed"


def test_files_that_belong_to_no_job_are_removed_and_others_stay(make_studio: Make) -> None:
    studio = make_studio(MAX_CONCURRENT_JOBS=1)
    studio.start("api")
    eventually(lambda: studio.get("/health").ok)
    uploads, outputs = studio.folder / "uploads", studio.folder / "outputs"
    waiting = [uploads / studio.submitted(png(side)) for side in (40, 50)]
    orphans = [uploads / ("0" * 32), uploads / f".{'1' * 32}.part", outputs / f".{'2' * 32}.glb.part"]
    kept = [uploads / ".another-programs-file", outputs / f"{'3' * 32}.glb"]
    for path in (*orphans, *kept):
        path.touch()
    old, silent = studio.folder / "logs/pod-old", studio.folder / "logs/pod-silent"
    for folder in (old, silent):
        folder.mkdir()
        (folder / "api-0.log").touch()
    for path in (*waiting, *orphans, *kept, old / "api-0.log", old, silent):
        os.utime(path, (0, 0))
    fresh = uploads / ("4" * 32)
    fresh.touch()
    studio.start("worker", **PATIENT)
    eventually(lambda: not any(path.exists() for path in (*orphans, old)))
    assert all(path.exists() for path in (*waiting, *kept, fresh, silent / "api-0.log"))


def test_a_job_that_kills_three_workers_fails(make_studio: Make) -> None:
    studio = make_studio()
    studio.start("api")
    eventually(lambda: studio.get("/health").ok)
    job = studio.submitted(png(40))
    for _ in range(3):
        assert studio.start("worker", ENGINE="deadly").wait(20) == -signal.SIGKILL
    studio.start("worker", **PATIENT)
    state = studio.ended(job)
    assert (state["status"], state["error"]["code"]) == ("failed", "worker_died")
    assert studio.probe() == ["begin 40"] * 3
    eventually(lambda: not list((studio.folder / "uploads").iterdir()))


def test_a_job_that_takes_too_long_fails_and_the_worker_goes_on(make_studio: Make) -> None:
    studio = make_studio(JOB_TIMEOUT_SECONDS=1)
    studio.start("api")
    worker = studio.start("worker", **PATIENT)
    eventually(lambda: studio.get("/health").ok)
    state = studio.ended(studio.submitted())
    assert (state["status"], state["error"]["code"]) == ("failed", "timeout")
    assert "1 seconds" in state["error"]["message"]
    studio.let_go()
    assert studio.ended(studio.submitted())["status"] == "completed"
    assert worker.poll() is None


def test_a_worker_whose_engine_hangs_fails_the_job_and_ends(make_studio: Make) -> None:
    studio = make_studio(JOB_TIMEOUT_SECONDS=1, MAX_CONCURRENT_JOBS=1)
    studio.start("api")
    worker = studio.start("worker", ENGINE="deaf", HANG_SECONDS=2)
    eventually(lambda: studio.get("/health").ok)
    job = studio.submitted()
    assert worker.wait(20) == 1
    state = studio.state(job)
    assert (state["status"], state["error"]["code"]) == ("failed", "timeout")


@pytest.mark.parametrize(
    ("behaviour", "code"), [("clumsy", "internal_error"), ("leaky", "not_watertight")], ids=["clumsy", "leaky"]
)
def test_a_job_that_fails_says_why_without_details(make_studio: Make, behaviour: str, code: str) -> None:
    studio = make_studio()
    studio.start("api")
    studio.start("worker", ENGINE=behaviour)
    eventually(lambda: studio.get("/health").ok)
    state = studio.ended(studio.submitted())
    assert (state["status"], state["outputs"], state["error"]["code"]) == ("failed", [], code)
    assert "detail" not in state["error"]["message"]


def test_an_open_mesh_is_accepted_when_quality_is_not_validated(make_studio: Make) -> None:
    studio = make_studio(QUALITY_VALIDATION_ENABLED=0)
    studio.start("api")
    studio.start("worker", ENGINE="leaky")
    eventually(lambda: studio.get("/health").ok)
    assert studio.ended(studio.submitted())["status"] == "completed"


def test_a_job_whose_picture_is_gone_fails(make_studio: Make) -> None:
    studio = make_studio()
    studio.start("api")
    eventually(lambda: studio.get("/health").ok)
    job = studio.submitted()
    (studio.folder / "uploads" / job).unlink()
    studio.start("worker")
    assert studio.ended(job)["error"]["code"] == "picture_lost"


def test_a_fully_transparent_picture_fails_as_empty(studio: Studio) -> None:
    state = studio.ended(studio.submitted(encoded(Image.new("RGBA", (30, 30), (9, 9, 9, 0)))))
    assert (state["status"], state["error"]["code"]) == ("failed", "empty_subject")


def test_the_studio_is_ready_once_the_model_is_loaded(make_studio: Make) -> None:
    studio = make_studio()
    for name in ("api", "realtime"):
        studio.start(name)
    eventually(lambda: studio.get("/health").ok)
    assert studio.get("/ready").json()["worker"] == "not ready"
    studio.start("worker", ENGINE="slow")
    state = eventually(lambda: found if (found := studio.get("/ready").json())["model"] == "loading" else None)
    assert not state["ready"]
    job = studio.submitted()
    assert studio.state(job)["status"] == "queued"
    studio.let_go()
    eventually(lambda: studio.get("/ready").status_code == 200)
    assert studio.ended(job)["status"] == "completed"


def test_a_model_that_does_not_load_is_named_by_ready_while_the_process_lives(make_studio: Make) -> None:
    studio = make_studio()
    studio.start("api")
    worker = studio.start("worker", ENGINE="lost")
    eventually(lambda: studio.get("/health").ok)
    state = eventually(lambda: found if (found := studio.get("/ready").json())["model"] == "failed" else None)
    assert state["reasons"]["worker"] == "the weights are on holiday"
    response = requests.get(f"http://127.0.0.1:{studio.ports['worker']}/ready", timeout=5)
    assert response.status_code == 503
    assert response.json()["reason"] == "the weights are on holiday"
    assert requests.get(f"http://127.0.0.1:{studio.ports['worker']}/health", timeout=5).status_code == 200
    assert worker.poll() is None


def worker_state(studio: Studio) -> dict[str, Any]:
    return requests.get(f"http://127.0.0.1:{studio.ports['worker']}/ready", timeout=5).json()
