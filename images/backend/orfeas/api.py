"""The HTTP API, served by Gunicorn."""

import fcntl
import logging
import math
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis
from flask import Blueprint, Flask, Response, current_app, g, jsonify, request, send_from_directory
from flask_cors import CORS
from flask_limiter import Limiter
from flask_limiter.errors import RateLimitExceeded
from flask_limiter.util import get_remote_address
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound, RequestEntityTooLarge
from werkzeug.middleware.proxy_fix import ProxyFix

from orfeas import api_keys, connection, files, health, jobs, metrics, pictures, settings
from orfeas.jobs import Queue
from orfeas.sessions import Sessions
from orfeas.settings import Settings

MEBIBYTE = 2**20
ENVELOPE_BYTES = MEBIBYTE
"""Room for the form around a picture."""
RETRY_SECONDS = 5
MEDIA_TYPES = {"glb": "model/gltf-binary", "obj": "model/obj", "stl": "model/stl"}
OUTPUT = re.compile(r"[0-9a-f]{32}\.(glb|obj|stl)")

log = logging.getLogger(__name__)
audit = logging.getLogger("orfeas.audit")
routes = Blueprint("studio", __name__)
# A record lock belongs to a process and goes with it, so Gunicorn's workers can share the file that they inherit.
_decoding = tempfile.TemporaryFile()  # noqa: SIM115 - for as long as the process lives


class Problem(Exception):
    """An answer that says what is wrong."""

    def __init__(self, status: int, code: str, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.retry_after = retry_after

    def response(self) -> Response:
        response = jsonify(error={"code": self.code, "message": str(self)})
        response.status_code = self.status
        g.code = self.code
        if self.status == 401:
            response.headers["WWW-Authenticate"] = "Bearer"
        if self.retry_after is not None:
            response.headers["Retry-After"] = str(self.retry_after)
        return response


def create_app(config: Settings) -> Flask:
    """The application. It connects to Redis with the first request, so each Gunicorn worker has its own connection."""
    app = Flask("orfeas", static_folder=None)
    app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1)  # type: ignore[method-assign]
    app.config.update(
        DEBUG=config.debug,
        TESTING=config.testing,
        PROPAGATE_EXCEPTIONS=False,
        SESSION_COOKIE_SECURE=config.session_cookie_secure,
        SESSION_COOKIE_HTTPONLY=config.session_cookie_httponly,
        SESSION_COOKIE_SAMESITE=config.session_cookie_samesite,
        MAX_CONTENT_LENGTH=config.max_file_size + ENVELOPE_BYTES,
        # Paths that do not exist have no endpoint, and count all the same.
        RATELIMIT_REQUEST_IDENTIFIER=lambda: request.endpoint or "none",
    )
    app.session_interface = Sessions(config.secret_key_file)
    app.extensions["settings"] = config
    app.extensions["queue"] = Queue(connection.connect(config, "api"), config.job_retention_seconds)

    app.before_request(_note_route)
    limiter = Limiter(
        get_remote_address,
        app=app,
        application_limits=[f"{config.rate_limit_per_minute}/minute"],
        application_limits_exempt_when=lambda: not request.path.startswith("/api/") or request.method == "OPTIONS",
        enabled=config.rate_limit_enabled,
        strategy="moving-window",
        storage_uri=config.redis_url,
        storage_options=connection.options(config),
        in_memory_fallback_enabled=True,
        headers_enabled=True,
    )
    # Behind the limiter, which counts guesses as well.
    if config.api_keys_dir:
        app.before_request(_refuse_without_key)
    if config.csrf_enabled:
        app.before_request(_refuse_cross_site_changes)
    if config.cors_enabled:
        CORS(
            app,
            resources=[r"/api/.*", r"/outputs/.*"],
            origins=list(config.cors_origins),
            supports_credentials=config.cors_allow_credentials,
            expose_headers=["Content-Disposition", "Retry-After"],
        )
    if config.security_headers_enabled:
        app.after_request(_add_security_headers)
    app.after_request(_audit)
    _register_errors(app, limiter)
    app.register_blueprint(routes)
    app.view_functions["studio.generate"] = limiter.limit(f"{config.rate_limit_per_hour}/hour")(generate)
    return app


def _config() -> Settings:
    return current_app.extensions["settings"]


def _queue() -> Queue:
    return current_app.extensions["queue"]


def _note_route() -> None:
    """Tell Gunicorn's hooks which rule matched: paths themselves would make labels without bound."""
    request.environ["orfeas.route"] = request.url_rule.rule if request.url_rule else "none"


def _refuse_without_key() -> None:
    """Demand `Authorization: Bearer <key>` of every request to the API, but for a preflight, which cannot have it."""
    if not request.path.startswith("/api/") or request.method == "OPTIONS":
        return
    given = request.authorization
    if given is None or given.type != "bearer" or not given.token:
        raise Problem(401, "api_key_missing", "This studio's API needs a key: send it as Authorization: Bearer <key>.")
    g.key = api_keys.owner(_config().api_keys_dir, given.token)
    if g.key is None:
        raise Problem(401, "api_key_invalid", "This key opens nothing here. Ask the operator for another.")


def _audit(response: Response) -> Response:
    """Note who did what, and how it ended: jobs, downloads, and whatever was refused to somebody."""
    action = {"studio.generate": "submit", "studio.output": "download"}.get(request.endpoint or "", "request")
    if action != "request" or response.status_code in (401, 403, 429):
        audit.info(
            "audit",
            extra={
                "action": action,
                "method": request.method,
                "path": request.path,
                "client": request.remote_addr,
                "api_key": g.get("key"),
                "status": response.status_code,
                "code": g.get("code", "ok"),
                "job_id": g.get("job_id"),
                "request_id": request.headers.get("X-Request-ID"),
            },
        )
    return response


def _refuse_cross_site_changes() -> None:
    if request.method != "POST":
        return
    origin = request.headers.get("Origin")
    if origin is None:
        allowed = request.headers.get("Sec-Fetch-Site") != "cross-site"
    else:
        allowed = origin in (request.host_url.rstrip("/"), *_config().cors_origins) or "*" in _config().cors_origins
    if not allowed:
        metrics.cross_site_refusals.inc()
        raise Problem(
            403,
            "cross_site",
            f"Pages of {origin or 'another site'} may not send pictures here. Use the studio's own; its operator can"
            " allow others by CORS_ORIGINS.",
        )


def _add_security_headers(response: Response) -> Response:
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["X-Frame-Options"] = "DENY"
    response.headers["Referrer-Policy"] = "strict-origin-when-cross-origin"
    response.headers["Content-Security-Policy"] = "default-src 'none'; frame-ancestors 'none'"
    return response


def _register_errors(app: Flask, limiter: Limiter) -> None:
    @app.errorhandler(Problem)
    def problem(error: Problem) -> Response:
        if error.code in metrics.REFUSALS:
            metrics.upload_refusals.labels(error.code).inc()
        return error.response()

    @app.errorhandler(RateLimitExceeded)
    def rate_limited(error: RateLimitExceeded) -> Response:
        breached = limiter.current_limit
        seconds = max(1, math.ceil(breached.reset_at - time.time())) if breached else 60
        metrics.rate_limited.labels("api" if breached is None or breached.shared else "jobs").inc()
        message = f"Your address may send {error.limit.limit}. Try again in {seconds} seconds."
        return Problem(429, "rate_limited", message, seconds).response()

    @app.errorhandler(redis.RedisError)
    def queue_unavailable(error: redis.RedisError) -> Response:
        log.warning("Redis does not answer", extra={"reason": str(error)})
        message = f"The job queue does not answer at the moment. Try again in {RETRY_SECONDS} seconds."
        return Problem(503, "queue_unavailable", message, RETRY_SECONDS).response()

    @app.errorhandler(RequestEntityTooLarge)
    def too_large(_: RequestEntityTooLarge) -> Response:
        return problem(_file_too_large())

    @app.errorhandler(NotFound)
    def not_found(_: NotFound) -> Response:
        return Problem(
            404, "not_found", "There is nothing here. Check the path; the API's begin with /api/."
        ).response()

    @app.errorhandler(MethodNotAllowed)
    def method_not_allowed(error: MethodNotAllowed) -> Response:
        methods = ", ".join(sorted(error.valid_methods or ()))
        response = Problem(
            405, "method_not_allowed", f"{request.method} is not possible here; use {methods}."
        ).response()
        response.headers["Allow"] = methods
        return response

    @app.errorhandler(HTTPException)
    def other(error: HTTPException) -> Response:
        return Problem(
            error.code or 500, "bad_request", f"The request cannot be served: {error.description}"
        ).response()

    @app.errorhandler(Exception)
    def unexpected(error: Exception) -> Response:
        metrics.http_exceptions.inc()
        log.error("a request failed", exc_info=error, extra={"method": request.method, "path": request.path})
        message = "Something went wrong on our side. Try again, and tell the operator if it lasts."
        return Problem(500, "internal_error", message).response()


@routes.get("/health")
def healthy() -> Response:
    return jsonify(status="healthy")


@routes.get("/ready")
def ready() -> tuple[Response, int]:
    state = health.studio_state(_config(), _queue())
    return jsonify(state), 200 if state["ready"] else 503


@routes.get("/metrics")
def serve_metrics() -> Response:
    if not _config().metrics_enabled:
        raise NotFound
    return Response(metrics.render(), content_type=CONTENT_TYPE_PLAIN_0_0_4)


@routes.post("/api/generate-3d")
def generate() -> tuple[Response, int]:
    config = _config()
    if not config.image_to_3d_enabled:
        raise Problem(
            403, "feature_disabled", "This studio takes no pictures: IMAGE_TO_3D_ENABLED is 0. Ask the operator."
        )
    output_format = _output_format()
    steps = _steps(config)
    picture = _picture(config)
    _check(picture, config)
    job_id = jobs.new_id()
    upload = config.upload_dir / job_id
    _store(picture, upload)
    try:
        _queue().submit(job_id, output_format, steps)
    except redis.RedisError:
        upload.unlink(missing_ok=True)
        metrics.submit_failures.inc()
        raise
    metrics.jobs_submitted.labels(output_format).inc()
    g.job_id = job_id
    log.info("a job was accepted", extra={"job_id": job_id, "format": output_format})
    return jsonify(job_id=job_id), 202


@routes.get("/api/job-status/<job_id>")
def job_status(job_id: str) -> Response:
    state = _queue().state(job_id) if jobs.is_id(job_id) else None
    if state is None:
        message = (
            "There is no such job. Use the job_id of POST /api/generate-3d; ended jobs are forgotten after a while."
        )
        raise Problem(404, "job_not_found", message)
    return jsonify(state)


@routes.get("/outputs/<name>")
def output(name: str) -> Response:
    found = OUTPUT.fullmatch(name)
    if not found:
        raise NotFound
    media_type = MEDIA_TYPES[found[1]]
    g.job_id = name.removesuffix(f".{found[1]}")
    response = send_from_directory(_config().output_dir, name, mimetype=media_type, as_attachment=True)
    response.headers["X-Content-Type-Options"] = "nosniff"
    if request.method == "GET":
        metrics.downloads.labels(found[1]).inc()
    return response


def _output_format() -> str:
    value = request.form.get("format", "glb")
    if value not in MEDIA_TYPES:
        raise Problem(400, "unsupported_format", f"The field format is {_shown(value)}; expected glb, obj or stl.")
    return value


def _steps(config: Settings) -> int:
    value = request.form.get("steps")
    if value is None:
        return config.default_steps
    expected = f"expected a whole number from {config.min_steps} to {config.max_steps}, or no such field"
    if not re.fullmatch(r"[+-]?[0-9]{1,9}", value):
        raise Problem(400, "steps_invalid", f"The field steps is {_shown(value)}; {expected}.")
    steps = int(value)
    if not config.min_steps <= steps <= config.max_steps:
        raise Problem(400, "steps_out_of_range", f"The field steps is {steps}; {expected}.")
    return steps


def _shown(value: str) -> str:
    return f"'{value}'" if len(value) <= 32 else f"'{value[:32]}…'"


def _picture(config: Settings) -> FileStorage:
    """The one picture of the form, of an allowed size in bytes."""
    found = request.files.getlist("image")
    if len(found) > 1:
        raise Problem(
            400,
            "too_many_images",
            f"The form has {len(found)} fields image; expected one. Send one request for each picture.",
        )
    if not found or not found[0].filename:
        message = "The form has no file in the field image; expected multipart/form-data with a picture there."
        raise Problem(400, "image_missing", message)
    size = found[0].stream.seek(0, os.SEEK_END)
    found[0].stream.seek(0)
    if size == 0:
        raise Problem(400, "image_empty", "The file in the field image is empty; expected a PNG, JPEG or WebP picture.")
    if size > config.max_file_size:
        raise _file_too_large()
    metrics.upload_size.observe(size)
    return found[0]


def _file_too_large() -> Problem:
    limit = _config().max_file_size / MEBIBYTE
    return Problem(
        413,
        "file_too_large",
        f"The picture is larger than {limit:g} MiB. Send a smaller one, or a stronger compressed one.",
    )


def _check(picture: FileStorage, config: Settings) -> None:
    limit = config.max_image_dimension
    with metrics.upload_check.time(), _one_at_a_time():
        try:
            facts = pictures.check(picture.stream, limit)
        except pictures.UnsupportedPicture:
            message = "The file in the field image is of no type that is read here; expected PNG, JPEG or WebP content."
            raise Problem(415, "unsupported_image", message) from None
        except pictures.TooLarge as error:
            message = f"The picture has {error}; expected at most {limit} pixels a side. Scale it down."
            raise Problem(422, "image_too_large_side", message) from None
        except pictures.TooCostly:
            message = "The picture takes more memory or time than one of its size may. Save it anew, without extras."
            raise Problem(422, "image_too_costly", message) from None
        except pictures.DamagedPicture as error:
            message = f"The picture cannot be decoded ({error}). It may be cut off: save it anew, and send it again."
            raise Problem(422, "image_damaged", message) from None
    metrics.uploads.labels(facts.type).inc()
    metrics.upload_side.observe(max(facts.width, facts.height))


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Decoding takes hundreds of mebibytes, which not all of Gunicorn's workers may need at once."""
    fcntl.lockf(_decoding, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.lockf(_decoding, fcntl.LOCK_UN)


@metrics.upload_store.time()
def _store(picture: FileStorage, upload: Path) -> None:
    """Write the picture to `upload`; on return it is on disk under that name."""
    part = upload.with_name(f".{upload.name}.part")
    try:
        picture.stream.seek(0)
        with part.open("xb") as file:
            shutil.copyfileobj(picture.stream, file)
        files.publish(part, upload)
    except OSError as error:
        part.unlink(missing_ok=True)
        log.error("a picture could not be stored", extra={"reason": str(error)})
        message = "There is no room for the picture at the moment. Try again later, and tell the operator if it lasts."
        raise Problem(503, "storage_full", message, 60) from error


app = create_app(settings.load())
