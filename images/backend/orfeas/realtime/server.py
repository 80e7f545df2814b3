"""
The Socket.IO server.

A client emits `subscribe` with {"job_id"} and joins the job's room, which gets what the worker publishes over Redis.
What is published while the connection to Redis is down is lost, so every job with an audience is also looked at from
time to time.
"""

import logging
import signal
import socket
import time
from typing import Any

import gevent
import redis
from flask import Flask, Response, jsonify, request
from flask_socketio import SocketIO, join_room, leave_room, rooms
from gevent.pywsgi import WSGIHandler, WSGIServer
from socketio import RedisManager
from werkzeug.exceptions import HTTPException

from orfeas import connection, events, health, jobs, metrics
from orfeas.jobs import Queue
from orfeas.settings import Settings

CHECK_SECONDS = 5
STOP_SECONDS = 5
# Listening has no end, so it has no timeout; a connection whose other end vanished is found by the kernel.
LISTENING = {
    "socket_connect_timeout": 2,
    "socket_keepalive": True,
    "socket_keepalive_options": {socket.TCP_KEEPIDLE: 10, socket.TCP_KEEPINTVL: 5, socket.TCP_KEEPCNT: 3},
}

log = logging.getLogger(__name__)


class Handler(WSGIHandler):
    """Ends a connection with its WebSocket: what still comes then is no HTTP request."""

    def handle_one_response(self) -> None:
        super().handle_one_response()
        if "HTTP_UPGRADE" in self.environ:
            self.close_connection = True


def create_app(queue: Queue) -> Flask:
    app = Flask("orfeas", static_folder=None)

    @app.get("/health")
    def healthy() -> Response:
        return jsonify(status="healthy")

    @app.get("/ready")
    def ready() -> tuple[Response, int]:
        reachable = health.redis_state(queue)
        if reachable == "reachable":
            return jsonify(ready=True, redis=reachable), 200
        return jsonify(ready=False, redis=reachable, reason="Redis does not answer"), 503

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> tuple[Response, int]:
        code = (error.name or "error").lower().replace(" ", "_")
        return jsonify(error={"code": code, "message": error.description}), error.code or 500

    return app


class Realtime:
    """What clients may do, and what they are told."""

    def __init__(self, settings: Settings, queue: Queue, app: Flask) -> None:
        self._queue = queue
        self._connected: dict[str, float] = {}
        metrics.websocket_clients.set(0)
        # None means the studio's own origin alone.
        origins = list(settings.cors_origins) if settings.cors_enabled else []
        self._socketio = SocketIO(
            app,
            async_mode="gevent",
            client_manager=RedisManager(
                settings.redis_url,
                channel=events.CHANNEL,
                logger=log,
                redis_options={**LISTENING, **connection.credentials(settings)},
            ),
            cors_allowed_origins="*" if "*" in origins else origins or None,
            cors_credentials=settings.cors_allow_credentials,
            ping_timeout=settings.websocket_ping_timeout,
            ping_interval=settings.websocket_ping_interval,
            max_http_buffer_size=settings.websocket_max_size,
            manage_session=False,
        )
        self._socketio.on_event("connect", self._connect)
        self._socketio.on_event("disconnect", self._disconnect)
        self._socketio.on_event("subscribe", self._subscribe)

    def _connect(self, _: Any = None) -> None:
        self._connected[request.sid] = time.monotonic()  # type: ignore[attr-defined]
        metrics.websocket_connects.inc()
        metrics.websocket_clients.set(len(self._connected))

    def _disconnect(self, _: Any = None) -> None:
        since = self._connected.pop(request.sid, None)  # type: ignore[attr-defined]
        metrics.websocket_disconnects.inc()
        metrics.websocket_clients.set(len(self._connected))
        if since is not None:
            metrics.websocket_duration.observe(time.monotonic() - since)

    def _subscribe(self, message: Any = None) -> dict[str, Any]:
        """Answers with the job's state as in /api/job-status, or {"error": {"code", "message"}}."""
        job_id = message.get("job_id") if isinstance(message, dict) else None
        if not jobs.is_id(job_id):
            return self._refuse(
                "job_not_found", 'There is no such job; expected {"job_id": …} as POST /api/generate-3d returned it.'
            )
        follows = job_id in rooms()
        # Before its state is read: what happens in between is then heard.
        join_room(job_id)
        try:
            state = self._queue.state(job_id)
        except redis.RedisError:
            if not follows:
                leave_room(job_id)
            return self._refuse(
                "queue_unavailable", "The job queue does not answer at the moment. Subscribe again in some seconds."
            )
        if state is None:
            leave_room(job_id)
            return self._refuse("job_not_found", "There is no such job. It may have ended long ago.")
        metrics.websocket_subscriptions.labels("accepted").inc()
        self._send(state, request.sid)  # type: ignore[attr-defined]
        if state["status"] in events.ENDED:
            leave_room(job_id)
        return state

    def _refuse(self, code: str, message: str) -> dict[str, Any]:
        metrics.websocket_subscriptions.labels(code).inc()
        return {"error": {"code": code, "message": message}}

    def _send(self, state: dict[str, Any], to: str) -> None:
        """Tell clients of this server alone, without Redis."""
        event = events.name(state["status"])
        self._socketio.emit(event, state, to=to, ignore_queue=True)
        metrics.events_resent.labels(event).inc()

    def check_rooms(self) -> None:
        """Tell each room the state of its job, and close it when the job has ended."""
        manager = self._socketio.server.manager
        followed = [room for room in manager.rooms.get("/", {}) if jobs.is_id(room)]
        metrics.websocket_rooms.set(len(followed))
        for job_id in followed:
            state = self._queue.state(job_id)
            if state:
                self._send(state, job_id)
            if state is None or state["status"] in events.ENDED:
                manager.basic_close_room(job_id, "/")


def serve(settings: Settings) -> None:
    """Serve until SIGTERM. Clients connect again by themselves, to another pod or to the next start of this one."""
    queue = Queue(connection.connect(settings, "realtime"), settings.job_retention_seconds)
    app = create_app(queue)
    realtime = Realtime(settings, queue, app) if settings.websocket_enabled else None
    sampler = metrics.Sampler("realtime")

    def watch() -> None:
        while True:
            sampler.sample()
            if realtime:
                try:
                    realtime.check_rooms()
                except redis.RedisError as error:
                    log.warning("Redis does not answer; trying on", extra={"reason": str(error)})
            gevent.sleep(CHECK_SECONDS)

    gevent.spawn(watch)
    server = WSGIServer(("0.0.0.0", settings.realtime_port), app, handler_class=Handler, log=None, error_log=log)
    gevent.signal_handler(signal.SIGTERM, server.stop, STOP_SECONDS)
    gevent.signal_handler(signal.SIGINT, server.stop, STOP_SECONDS)
    log.info("listening", extra={"port": settings.realtime_port, "websocket": settings.websocket_enabled})
    server.serve_forever()
