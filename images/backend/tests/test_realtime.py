"""Progress by Socket.IO, for those who follow a job and for nobody else."""

import queue
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests
import socketio
from conftest import RedisServer, Studio, eventually, png

Make = Callable[..., Studio]
EVENTS = ("job_progress", "job_completed", "job_failed")
ORIGIN = {"Origin": "https://studio.example.org"}


class Client:
    """A Socket.IO client that keeps what it hears."""

    def __init__(self, studio: Studio, transport: str) -> None:
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self._socket = socketio.Client(websocket_extra_options={"suppress_origin": True})
        for event in EVENTS:
            self._socket.on(event, lambda payload, event=event: self.heard.append((event, payload)))
        self._socket.connect(
            f"http://127.0.0.1:{studio.ports['realtime']}", transports=[transport], headers=ORIGIN, wait_timeout=10
        )

    def subscribe(self, message: object) -> dict[str, Any]:
        answers: queue.Queue[dict[str, Any]] = queue.Queue()
        self._socket.emit("subscribe", message, callback=answers.put)
        return answers.get(timeout=10)

    def events(self, job: str) -> list[str]:
        return [event for event, payload in self.heard if payload["job_id"] == job]

    def close(self) -> None:
        self._socket.disconnect()


@contextmanager
def connected(studio: Studio, transport: str = "websocket") -> Iterator[Client]:
    client = Client(studio, transport)
    try:
        yield client
    finally:
        client.close()


@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_a_follower_hears_of_progress_and_of_the_end(make_studio: Make, transport: str) -> None:
    studio = make_studio().start_all(ENGINE="patient")
    with connected(studio, transport) as client:
        job = studio.submitted()
        state = client.subscribe({"job_id": job})
        assert state["job_id"] == job
        assert state["status"] in ("queued", "processing")
        eventually(lambda: len(client.events(job)) >= 4)
        studio.let_go()
        eventually(lambda: "job_completed" in client.events(job))
        progress = [payload["progress"] for _, payload in client.heard]
        assert progress == sorted(progress)
        event, payload = client.heard[-1]
        assert (event, payload["status"], payload["progress"]) == ("job_completed", "completed", 1)
        assert payload["outputs"] == studio.state(job)["outputs"]


def test_a_follower_hears_of_a_failure(make_studio: Make) -> None:
    studio = make_studio(JOB_TIMEOUT_SECONDS=2).start_all(ENGINE="patient")
    with connected(studio) as client:
        job = studio.submitted()
        client.subscribe({"job_id": job})
        eventually(lambda: "job_failed" in client.events(job))
        _, payload = client.heard[-1]
        assert (payload["status"], payload["error"]["code"]) == ("failed", "timeout")


def test_who_comes_late_gets_the_state_at_once(studio: Studio) -> None:
    job = studio.submitted()
    state = studio.ended(job)
    with connected(studio) as client:
        assert client.subscribe({"job_id": job}) == state
        eventually(lambda: client.heard)
        assert client.heard == [("job_completed", state)]


def test_nobody_hears_of_others_jobs(studio: Studio) -> None:
    with connected(studio) as one, connected(studio, "polling") as other:
        jobs = [studio.submitted(), studio.submitted()]
        one.subscribe({"job_id": jobs[0]})
        other.subscribe({"job_id": jobs[1]})
        eventually(lambda: "job_completed" in one.events(jobs[0]) and "job_completed" in other.events(jobs[1]))
        assert not one.events(jobs[1])
        assert not other.events(jobs[0])


@pytest.mark.parametrize(
    "message",
    [None, "text", 7, [], {}, {"job_id": None}, {"job_id": 5}, {"job_id": "x"}, {"job_id": "0" * 32}],
    ids=repr,
)
def test_a_subscription_to_no_job_is_answered_with_an_error(studio: Studio, message: object) -> None:
    with connected(studio) as client:
        answer = client.subscribe(message)
        assert answer["error"]["code"] == "job_not_found"
        assert len(answer["error"]["message"]) > 20


def test_followers_hear_of_the_end_of_a_job_over_a_restart_of_redis(
    make_studio: Make, private_redis: RedisServer
) -> None:
    studio = make_studio().start_all(ENGINE="patient")
    with connected(studio) as client:
        job = studio.submitted()
        client.subscribe({"job_id": job})
        private_redis.stop()
        assert client.subscribe({"job_id": job})["error"]["code"] == "queue_unavailable"
        ready = requests.get(f"http://127.0.0.1:{studio.ports['realtime']}/ready", timeout=5)
        assert (ready.status_code, ready.json()["redis"]) == (503, "unreachable")
        private_redis.start()
        studio.let_go()
        eventually(lambda: "job_completed" in client.events(job))


def test_a_page_of_another_site_cannot_connect(studio: Studio) -> None:
    url = f"http://127.0.0.1:{studio.ports['realtime']}/socket.io/?EIO=4&transport=polling"
    assert requests.get(url, headers={"Origin": "https://evil.example.net"}, timeout=5).status_code == 400
    allowed = requests.get(url, headers=ORIGIN, timeout=5)
    assert allowed.status_code == 200
    assert allowed.headers["Access-Control-Allow-Origin"] == ORIGIN["Origin"]


def test_without_websockets_there_is_no_socket_io_but_health(make_studio: Make) -> None:
    studio = make_studio(WEBSOCKET_ENABLED=0)
    studio.start("realtime")
    url = f"http://127.0.0.1:{studio.ports['realtime']}"
    eventually(lambda: requests.get(f"{url}/health", timeout=5).ok)
    response = requests.get(f"{url}/socket.io/?EIO=4&transport=polling", timeout=5)
    assert (response.status_code, response.json()["error"]["code"]) == (404, "not_found")
    assert requests.get(f"{url}/ready", timeout=5).status_code == 200


def test_the_server_ends_at_once_when_it_is_stopped(make_studio: Make) -> None:
    studio = make_studio()
    process = studio.start("realtime")
    eventually(lambda: requests.get(f"http://127.0.0.1:{studio.ports['realtime']}/health", timeout=5).ok)
    with connected(studio), connected(studio, "polling"):
        process.terminate()
        assert process.wait(15) == 0


def test_connections_are_counted(make_studio: Make) -> None:
    studio = make_studio().start_all()
    with connected(studio) as client:
        job = studio.submitted(png())
        client.subscribe({"job_id": job})
        assert studio.metric("orfeas_websocket_clients") == 1
        assert studio.metric("orfeas_websocket_subscriptions_total", outcome="accepted") == 1
    eventually(lambda: studio.metric("orfeas_websocket_clients") == 0)
    assert studio.metric("orfeas_websocket_connects_total") == 1
    assert studio.metric("orfeas_websocket_disconnects_total") == 1
