"""Whether the parts of the studio are ready. The processes of a pod reach each other at 127.0.0.1."""

import http.client
import json
from typing import Any

import redis

from orfeas import metrics
from orfeas.jobs import Queue
from orfeas.settings import Settings

TIMEOUT_SECONDS = 1


def redis_state(queue: Queue) -> str:
    """`reachable` or `unreachable`."""
    try:
        queue.ping()
    except redis.RedisError:
        return "unreachable"
    return "reachable"


def sibling_state(port: int) -> dict[str, Any]:
    """What the process on `port` says of itself; {"ready": False, "reason": …} when it does not answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/ready")
        answer = connection.getresponse()
        return json.loads(answer.read()) | {"ready": answer.status == 200}
    except (OSError, http.client.HTTPException, ValueError) as error:
        return {"ready": False, "reason": f"no answer: {type(error).__name__}"}
    finally:
        connection.close()


def studio_state(settings: Settings, queue: Queue) -> dict[str, Any]:
    """The readiness of the whole pod: `ready`, the state of the model, of Redis and of each process."""
    worker = sibling_state(settings.worker_port)
    realtime = sibling_state(settings.realtime_port)
    reachable = redis_state(queue)
    model = worker.get("model", "unknown")
    # Not by the worker itself: one that is gone has no model either.
    metrics.model_ready.set(model == "loaded")
    metrics.ready.labels("worker").set(worker["ready"])
    metrics.ready.labels("realtime").set(realtime["ready"])
    metrics.ready.labels("redis").set(reachable == "reachable")
    state: dict[str, Any] = {
        "ready": worker["ready"] and realtime["ready"] and reachable == "reachable",
        "model": model,
        "redis": reachable,
        "worker": "ready" if worker["ready"] else "not ready",
        "realtime": "ready" if realtime["ready"] else "not ready",
    }
    reasons = {
        name: part["reason"] for name, part in {"worker": worker, "realtime": realtime}.items() if "reason" in part
    }
    return state | ({"reasons": reasons} if reasons else {})
