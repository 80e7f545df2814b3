"""
The queue of jobs, in Redis.

A job is a hash, `orfeas:job:<id>`, which expires only once the job has ended. `orfeas:queue` lists the ids that wait,
and `orfeas:running` holds those under way by the time at which their lease runs out, on Redis' clock. Each change is
one script, so a job is always in exactly one place. All scripts may be sent twice, as happens when an answer was lost
on the way.
"""

import re
import uuid
from dataclasses import dataclass
from typing import Any, Literal

from redis import Redis

LEASE_SECONDS = 18
"""How long a worker may be silent before its job is given to another."""
MAX_ATTEMPTS = 3
"""Workers that one job may kill."""

_ID = re.compile(r"[0-9a-f]{32}")
_QUEUE = "orfeas:queue"
_RUNNING = "orfeas:running"
_JOB = "orfeas:job:"

# Each script gets KEYS: queue, running; and ARGV[1]: the prefix of jobs.
_NOW = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
"""

# ARGV: id, format, steps.
_SUBMIT = (
    _NOW
    + """
local key = ARGV[1] .. ARGV[2]
if redis.call('EXISTS', key) == 0 then
  redis.call('HSET', key, 'status', 'queued', 'progress', 0, 'attempts', 0,
    'format', ARGV[3], 'steps', ARGV[4], 'submitted', now)
  redis.call('RPUSH', KEYS[1], ARGV[2])
end
"""
)

# ARGV: owner, lease in seconds.
_CLAIM = (
    _NOW
    + """
local id = redis.call('LPOP', KEYS[1])
if not id then return false end
local key = ARGV[1] .. id
redis.call('HSET', key, 'status', 'processing', 'progress', 0, 'owner', ARGV[2])
local attempt = redis.call('HINCRBY', key, 'attempts', 1)
redis.call('ZADD', KEYS[2], now + ARGV[3], id)
local job = redis.call('HMGET', key, 'format', 'steps', 'submitted')
return {id, job[1], job[2], attempt, tostring(now - job[3])}
"""
)

# ARGV: id, owner, lease in seconds, progress.
_RENEW = (
    _NOW
    + """
local key = ARGV[1] .. ARGV[2]
if redis.call('HGET', key, 'owner') ~= ARGV[3] or not redis.call('ZSCORE', KEYS[2], ARGV[2]) then return 0 end
redis.call('HSET', key, 'progress', ARGV[5])
redis.call('ZADD', KEYS[2], now + ARGV[4], ARGV[2])
return 1
"""
)

# ARGV: id, owner, retention in seconds, then the fields of the result. The owner stays, so that it may say so twice.
_FINISH = """
local key = ARGV[1] .. ARGV[2]
if redis.call('HGET', key, 'owner') ~= ARGV[3] then return 0 end
if redis.call('ZREM', KEYS[2], ARGV[2]) == 1 then
  redis.call('HSET', key, unpack(ARGV, 5))
  redis.call('EXPIRE', key, ARGV[4])
end
return 1
"""

# ARGV: id, owner. The attempt does not count: the worker lives.
_RELEASE = """
local key = ARGV[1] .. ARGV[2]
if redis.call('HGET', key, 'owner') ~= ARGV[3] then return 0 end
if redis.call('ZREM', KEYS[2], ARGV[2]) == 1 then
  redis.call('HSET', key, 'status', 'queued', 'progress', 0)
  redis.call('HINCRBY', key, 'attempts', -1)
  redis.call('HDEL', key, 'owner')
  redis.call('LPUSH', KEYS[1], ARGV[2])
end
return 1
"""

# ARGV: owner, attempts, retention in seconds, message. An owner is <pod>/<start>: another start of this pod is dead.
_REAP = (
    _NOW
    + """
local pod = string.match(ARGV[2], '^(.*/)')
local requeued, failed = {}, {}
for _, id in ipairs(redis.call('ZREVRANGE', KEYS[2], 0, -1)) do
  local key = ARGV[1] .. id
  local owner = redis.call('HGET', key, 'owner') or ''
  local predecessor = owner ~= ARGV[2] and string.sub(owner, 1, #pod) == pod
  if predecessor or tonumber(redis.call('ZSCORE', KEYS[2], id)) < now then
    redis.call('ZREM', KEYS[2], id)
    redis.call('HDEL', key, 'owner')
    if tonumber(redis.call('HGET', key, 'attempts') or 0) >= tonumber(ARGV[3]) then
      redis.call('HSET', key, 'status', 'failed', 'error_code', 'worker_died', 'error_message', ARGV[5])
      redis.call('EXPIRE', key, ARGV[4])
      table.insert(failed, id)
    else
      redis.call('HSET', key, 'status', 'queued', 'progress', 0)
      redis.call('LPUSH', KEYS[1], id)
      table.insert(requeued, id)
    end
  end
end
return {requeued, failed}
"""
)

_STATS = (
    _NOW
    + """
local oldest = redis.call('LINDEX', KEYS[1], 0)
local submitted = oldest and redis.call('HGET', ARGV[1] .. oldest, 'submitted')
return {redis.call('LLEN', KEYS[1]), submitted and tostring(now - submitted) or '0'}
"""
)


@dataclass(frozen=True)
class Job:
    """A job that a worker has claimed."""

    id: str
    format: Literal["glb", "obj", "stl"]
    steps: int
    attempt: int
    """1 for the first."""
    waited: float
    """Seconds since it was accepted."""

    @property
    def output(self) -> str:
        """The name of its model's file."""
        return f"{self.id}.{self.format}"


def new_id() -> str:
    """An id that nobody can guess: who knows it may have the model."""
    return uuid.uuid4().hex


def is_id(value: object) -> bool:
    return isinstance(value, str) and _ID.fullmatch(value) is not None


class Queue:
    """All that happens to jobs. Each method raises `redis.RedisError` when Redis is away or refuses."""

    def __init__(self, redis: Redis, retention_seconds: int) -> None:
        self._redis = redis
        self._retention = retention_seconds
        self._scripts = {
            name: redis.register_script(text)
            for name, text in {
                "submit": _SUBMIT,
                "claim": _CLAIM,
                "renew": _RENEW,
                "finish": _FINISH,
                "release": _RELEASE,
                "reap": _REAP,
                "stats": _STATS,
            }.items()
        }

    def _run(self, name: str, *arguments: Any) -> Any:
        return self._scripts[name](keys=[_QUEUE, _RUNNING], args=[_JOB, *arguments])

    def ping(self) -> None:
        self._redis.ping()

    def submit(self, job_id: str, output_format: str, steps: int) -> None:
        """Add a job to the end of the queue."""
        self._run("submit", job_id, output_format, steps)

    def state(self, job_id: str) -> dict[str, Any] | None:
        """
        What a client may know of a job, or None when there is none of that id.

        Keys: job_id, status, progress (0 to 1), outputs (a list of url and bytes), error (code and message) if failed.
        """
        job = self._redis.hgetall(_JOB + job_id)
        if not job:
            return None
        state: dict[str, Any] = {
            "job_id": job_id,
            "status": job["status"],
            "progress": float(job["progress"]),
            "outputs": [],
        }
        if job["status"] == "completed":
            state["outputs"].append({"url": f"/outputs/{job_id}.{job['format']}", "bytes": int(job["bytes"])})
        if job["status"] == "failed":
            state["error"] = {"code": job["error_code"], "message": job["error_message"]}
        return state

    def claim(self, owner: str) -> Job | None:
        """The job that waits longest, leased to `owner`, or None."""
        found = self._run("claim", owner, LEASE_SECONDS)
        if not found:
            return None
        job_id, output_format, steps, attempt, waited = found
        return Job(job_id, output_format, int(steps), int(attempt), float(waited))

    def renew(self, job_id: str, owner: str, progress: float) -> bool:
        """Prolong the lease; false when `owner` has it no more."""
        return bool(self._run("renew", job_id, owner, LEASE_SECONDS, progress))

    def complete(self, job_id: str, owner: str, size: int) -> bool:
        """End a job with a model of `size` bytes; false when `owner` has it no more."""
        fields = ("status", "completed", "progress", 1, "bytes", size)
        return bool(self._run("finish", job_id, owner, self._retention, *fields))

    def fail(self, job_id: str, owner: str, code: str, message: str) -> bool:
        """End a job without a model; false when `owner` has it no more."""
        fields = ("status", "failed", "error_code", code, "error_message", message)
        return bool(self._run("finish", job_id, owner, self._retention, *fields))

    def release(self, job_id: str, owner: str) -> bool:
        """Put a job back to the front of the queue; false when `owner` has it no more."""
        return bool(self._run("release", job_id, owner))

    def reap(self, owner: str) -> tuple[list[str], list[str]]:
        """Take jobs from workers that died. Returns the ids of those to be done again, and of those that failed."""
        message = f"{MAX_ATTEMPTS} workers died of the job. Send another picture, or tell the operator."
        requeued, failed = self._run("reap", owner, MAX_ATTEMPTS, self._retention, message)
        return requeued, failed

    def stats(self) -> tuple[int, float]:
        """Jobs that wait, and the age of the oldest in seconds."""
        length, age = self._run("stats")
        return int(length), float(age)
