"""
The loop of the worker.

One thread, the loop's, speaks with Redis: it claims jobs, renews their leases, and ends them. Jobs run in threads of
their own, which only note how far they are. A job never runs twice at once:

- When its lease cannot be renewed, it is stopped well before another worker may claim it.
- What an engine does not stop in time, the end of the process stops.
"""

import logging
import os
import signal
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, NoReturn

import redis
import socketio

from orfeas import backup, certificate, connection, engines, events, gpu, health, logs, metrics, pipeline
from orfeas.engines import EngineUnavailable, JobFailed
from orfeas.jobs import LEASE_SECONDS, Job, Queue, is_id
from orfeas.settings import Settings
from orfeas.worker import probes

TICK_SECONDS = 0.2
"""How often Redis is asked while no job ends."""
RENEW_SECONDS = 2
REAP_SECONDS = 1
SAMPLE_SECONDS = 5
SWEEP_SECONDS = 3600
"""How often files without a job are looked for, and how old they must be."""
FENCE_SECONDS = LEASE_SECONDS / 3
"""What an engine has, of the lease's end, to notice that its job must stop."""
HANG_SECONDS = 30
"""What an engine has to notice that its job took too long."""
RELEASE_SECONDS = 10
"""What engines have, after the drain, to notice that their jobs must stop."""

log = logging.getLogger(__name__)


class Stopped(Exception):
    """The loop wants a job to stop."""


class Run:
    """A job under way. Its thread writes `progress`, and the loop the rest; either may find that it must stop."""

    future: Future[int]

    def __init__(self, job: Job, claimed: float) -> None:
        self.job = job
        self.started = claimed
        self.progress = 0.0
        self.published = 0.0
        self.stop: Literal["timeout", "lease_lost", "drained"] | None = None
        self.renew(claimed)

    def renew(self, asked: float) -> None:
        """Note that Redis agreed to a request for a lease, which was sent at `asked`."""
        self.renewed = asked
        self.leased_until = asked + LEASE_SECONDS

    def report(self, share: float) -> None:
        """Note how much of the job is done. Raises Stopped in the job's thread when it must end."""
        if self.stop is None and time.monotonic() > self.leased_until - FENCE_SECONDS:
            self.stop = "lease_lost"
        if self.stop:
            raise Stopped
        self.progress = max(self.progress, round(share, 4))


class Service:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._redis = connection.connect(settings, "worker")
        self._queue = Queue(self._redis, settings.job_retention_seconds)
        self._events = socketio.RedisManager(
            settings.redis_url,
            channel=events.CHANNEL,
            write_only=True,
            logger=log,
            redis_options=connection.options(settings),
        )
        self._owner = f"{settings.pod_name}/{uuid.uuid4().hex}"
        self._engine = engines.create(settings)
        self._model: Literal["loading", "loaded", "failed"] = "loading"
        self._reason = ""
        self._runs: list[Run] = []
        self._ended = threading.Event()
        self._pool = ThreadPoolExecutor(settings.max_concurrent_jobs, thread_name_prefix="job")
        self._drain_until: float | None = None
        self._redis_answers = True
        self._due: dict[str, float] = {}
        self._sampler = metrics.Sampler("worker")
        self._gpu = gpu.Monitor(settings.gpu_memory_limit)
        self._certificate = certificate.Monitor(settings.tls_certificate)

    def run(self) -> int:
        """Work until SIGTERM. Returns the exit code."""
        signal.signal(signal.SIGTERM, self._drain)
        signal.signal(signal.SIGINT, self._drain)
        probes.serve(self._settings.worker_port, self.state)
        metrics.job_slots.set(self._settings.max_concurrent_jobs)
        metrics.engine_info.labels(self._engine.name).set(1)
        threading.Thread(target=self._load, name="model", daemon=True).start()
        while self._drain_until is None or self._runs:
            self._guard(time.monotonic())
            try:
                self._exchange()
            except redis.RedisError as error:
                self._note_redis(False, str(error))
            else:
                self._note_redis(True)
            if self._is_due("sample", SAMPLE_SECONDS):
                self._sample()
            self._ended.wait(TICK_SECONDS)
            self._ended.clear()
        log.info("all jobs are done or put back")
        return 0

    def state(self) -> dict[str, Any]:
        """What /ready tells."""
        state: dict[str, Any] = {"model": self._model, "redis": health.redis_state(self._queue)}
        reasons = [
            self._reason,
            "Redis does not answer" if state["redis"] == "unreachable" else "",
        ]
        ready = self._model == "loaded" and not any(reasons)
        # Ready while it drains, too: the API goes on meanwhile, and what it accepts waits for the next worker.
        return {"ready": ready, "draining": self._drain_until is not None, **state} | (
            {} if ready else {"reason": "; ".join(filter(None, reasons))}
        )

    def _load(self) -> None:
        start = time.monotonic()
        self._reason = f"the model of {self._engine.name} is being loaded"
        log.info("loading the model", extra={"engine": self._engine.name})
        try:
            self._engine.load()
        except Exception as error:
            self._model = "failed"
            self._reason = str(error) if isinstance(error, EngineUnavailable) else f"{type(error).__name__}: {error}"
            metrics.model_load_failures.inc()
            log.critical(
                "the model did not load",
                extra={"reason": self._reason},
                exc_info=None if isinstance(error, EngineUnavailable) else error,
            )
            return
        seconds = time.monotonic() - start
        self._model, self._reason = "loaded", ""
        metrics.model_load_duration.set(seconds)
        log.info("the model is loaded", extra={"seconds": round(seconds, 3)})

    def _drain(self, *_: Any) -> None:
        if self._drain_until is None:
            self._drain_until = time.monotonic() + self._settings.drain_seconds

    def _guard(self, now: float) -> None:
        """Stop jobs that must not go on. Ends the process where an engine does not stop."""
        timeout = self._settings.job_timeout_seconds
        for run in self._running():
            if run.stop is None:
                if now > run.leased_until - FENCE_SECONDS:
                    run.stop = "lease_lost"
                elif now > run.started + timeout:
                    run.stop = "timeout"
                elif self._drain_until is not None and now > self._drain_until:
                    run.stop = "drained"
            if now > run.leased_until:
                self._end(1, "a job did not stop before its lease ran out")
            if now > run.started + timeout + HANG_SECONDS:
                try:
                    self._fail(run, "timeout", self._timeout_message())
                except redis.RedisError:
                    log.warning("the end of the job could not be noted, so it will be tried again")
                self._end(1, "a job did not stop after its time")

        if self._drain_until is not None and now > self._drain_until + RELEASE_SECONDS:
            self._end(0, "jobs did not end with the drain")

    def _end(self, code: int, why: str) -> NoReturn:
        """End the process at once: the thread of an engine that hangs would keep it."""
        log.critical(why, extra={"job_ids": [run.job.id for run in self._runs]})
        for run in list(self._runs):
            try:
                self._release(run)
            except redis.RedisError:
                break
        logging.shutdown()
        os._exit(code)

    def _running(self) -> Iterator[Run]:
        return (run for run in list(self._runs) if not run.future.done())

    def _exchange(self) -> None:
        """Tell Redis what happened, and ask for work."""
        for run in list(self._runs):
            if run.future.done():
                self._settle(run)
        for run in self._running():
            if run.stop != "lease_lost":
                self._renew(run)
        if self._is_due("stats", SAMPLE_SECONDS):
            length, age = self._queue.stats()
            metrics.queue_length.set(length)
            metrics.queue_age.set(age)
            backup.sample(self._redis)
        # A job that was claimed again while its thread still runs here would run twice at once.
        if self._drain_until is not None or any(run.stop == "lease_lost" for run in self._runs):
            return
        if self._is_due("reap", REAP_SECONDS):
            self._reap()
        while self._model == "loaded" and len(self._runs) < self._settings.max_concurrent_jobs:
            asked = time.monotonic()
            job = self._queue.claim(self._owner)
            if job is None:
                break
            self._start(job, asked)
        if self._is_due("sweep", SWEEP_SECONDS):
            self._sweep()

    def _start(self, job: Job, claimed: float) -> None:
        log.info("a job begins", extra={"job_id": job.id, "attempt": job.attempt})
        metrics.queue_wait.observe(job.waited)
        run = Run(job, claimed)
        run.future = self._pool.submit(self._work, run)
        run.future.add_done_callback(lambda _: self._ended.set())
        self._runs.append(run)

    def _work(self, run: Run) -> int:
        """What a job's thread does. Returns the size of the model in bytes."""
        try:
            return pipeline.run(run.job, self._engine, self._settings, run.report)
        except Stopped:
            log.warning("a job is stopped", extra={"job_id": run.job.id, "reason": run.stop})
            raise

    def _renew(self, run: Run) -> None:
        progress = run.progress
        now = time.monotonic()
        if progress == run.published and now < run.renewed + RENEW_SECONDS:
            return
        if not self._queue.renew(run.job.id, self._owner, progress):
            run.stop = "lease_lost"
            return
        run.renew(now)
        metrics.lease_renewals.inc()
        if progress != run.published:
            run.published = progress
            self._publish({"job_id": run.job.id, "status": "processing", "progress": progress, "outputs": []})

    def _settle(self, run: Run) -> None:
        """End the job of a thread that has ended. When Redis does not answer, it is tried again with the next tick."""
        try:
            size = run.future.result()
        except Stopped:
            if run.stop == "timeout":
                self._fail(run, "timeout", self._timeout_message())
            else:
                self._release(run)
        except JobFailed as failure:
            self._fail(run, failure.code, str(failure))
        except Exception as error:
            message = (
                "The model could not be made for a reason of our own. Try again, and tell the operator if it lasts."
            )
            if self._fail(run, "internal_error", message):
                log.error("a job failed", exc_info=error, extra={"job_id": run.job.id})
        else:
            self._complete(run, size)

    def _complete(self, run: Run, size: int) -> None:
        owned = self._queue.complete(run.job.id, self._owner, size)
        self._runs.remove(run)
        if not owned:
            log.warning("a job was finished, but no longer ours", extra={"job_id": run.job.id})
            return
        seconds = time.monotonic() - run.started
        metrics.jobs_completed.labels(run.job.format).inc()
        metrics.job_duration.labels(run.job.format).observe(seconds)
        metrics.job_attempts.observe(run.job.attempt)
        log.info("a job is completed", extra={"job_id": run.job.id, "seconds": round(seconds, 3), "bytes": size})
        self._forget(run.job.id)

    def _fail(self, run: Run, code: str, message: str) -> bool:
        owned = self._queue.fail(run.job.id, self._owner, code, message)
        self._runs.remove(run)
        if owned:
            metrics.jobs_failed.labels(code).inc()
            metrics.job_attempts.observe(run.job.attempt)
            log.info("a job failed", extra={"job_id": run.job.id, "code": code})
            self._forget(run.job.id)
        return owned

    def _release(self, run: Run) -> None:
        owned = self._queue.release(run.job.id, self._owner)
        self._runs.remove(run)
        if run.stop == "lease_lost":
            metrics.leases_lost.inc()
        if owned:
            metrics.jobs_requeued.labels(run.stop or "worker_ended").inc()
            log.info("a job is put back", extra={"job_id": run.job.id})

    def _timeout_message(self) -> str:
        seconds = self._settings.job_timeout_seconds
        return f"The model was not ready after {seconds} seconds. Send a simpler picture, or ask for fewer steps."

    def _reap(self) -> None:
        requeued, failed = self._queue.reap(self._owner)
        for job_id in requeued:
            metrics.jobs_requeued.labels("worker_died").inc()
            log.warning("a job is put back, because its worker died", extra={"job_id": job_id})
        for job_id in failed:
            metrics.jobs_failed.labels("worker_died").inc()
            log.error("a job failed, because its workers died", extra={"job_id": job_id})
            self._forget(job_id)

    def _forget(self, job_id: str) -> None:
        """Remove the picture of a job that has ended, and tell those who follow it."""
        (self._settings.upload_dir / job_id).unlink(missing_ok=True)
        state = self._queue.state(job_id)
        if state:
            self._publish(state)
            self._events.close_room(job_id)

    def _publish(self, state: dict[str, Any]) -> None:
        event = events.name(state["status"])
        self._events.emit(event, state, room=state["job_id"])
        metrics.events_published.labels(event).inc()

    def _sweep(self) -> None:
        """Remove what processes left: pictures without a waiting job, incomplete files, and old logs."""
        logs.forget_pods(self._settings.log_dir)
        before = time.time() - SWEEP_SECONDS
        for folder in (self._settings.upload_dir, self._settings.output_dir):
            for path in folder.iterdir():
                if path.stat().st_mtime < before and self._is_orphan(path):
                    path.unlink(missing_ok=True)
                    metrics.files_orphaned.inc()

    def _is_orphan(self, path: Path) -> bool:
        if path.name.endswith(".part"):
            return True
        if path.parent != self._settings.upload_dir or not is_id(path.name):
            return False
        state = self._queue.state(path.name)
        return state is None or state["status"] in events.ENDED

    def _sample(self) -> None:
        metrics.jobs_running.set(len(self._runs))
        metrics.worker_draining.set(self._drain_until is not None)
        metrics.sample_volumes(
            {
                "outputs": self._settings.output_dir,
                "huggingface-cache": self._settings.hf_home,
                "hy3dgen-cache": self._settings.hy3dgen_models,
            }
        )
        self._certificate.sample()
        self._gpu.sample()
        self._sampler.sample()

    def _note_redis(self, answers: bool, reason: str = "") -> None:
        if answers != self._redis_answers:
            self._redis_answers = answers
            if answers:
                log.info("Redis answers again")
            else:
                log.warning("Redis does not answer; trying on", extra={"reason": reason})
                metrics.queue_length.set(metrics.ABSENT)
                metrics.queue_age.set(metrics.ABSENT)

    def _is_due(self, what: str, seconds: float) -> bool:
        now = time.monotonic()
        if now < self._due.get(what, 0):
            return False
        self._due[what] = now + seconds
        return True
