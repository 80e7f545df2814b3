"""What the HTTP API accepts, what it refuses, and how it says so."""

import io
import socket
import subprocess
import sys
import tempfile
import uuid
import zlib
from collections.abc import Callable

import numpy as np
import pytest
import requests
import trimesh
from conftest import HERE, SECRET_KEY, Studio, disc, encoded, error_of, eventually, png
from PIL import Image

Make = Callable[..., Studio]
MEBIBYTE = 2**20


def jpeg(side: int = 64, **options: object) -> bytes:
    return encoded(disc(side, "RGB"), "JPEG", **options)


def webp(side: int = 64) -> bytes:
    return encoded(disc(side), "WEBP")


def bomb(side: int) -> bytes:
    """A PNG whose header promises far more pixels than it has bytes."""
    content = bytearray(png(8))
    content[16:24] = side.to_bytes(4, "big") * 2
    content[29:33] = zlib.crc32(bytes(content[12:29])).to_bytes(4, "big")
    return bytes(content)


@pytest.mark.parametrize(
    ("picture", "kind"), [(png(), "PNG"), (jpeg(), "JPEG"), (webp(), "WebP")], ids=["png", "jpeg", "webp"]
)
@pytest.mark.parametrize("output_format", ["glb", "obj", "stl"])
def test_a_picture_becomes_a_solid_model(studio: Studio, picture: bytes, kind: str, output_format: str) -> None:
    job = studio.submitted(picture, format=output_format)
    state = studio.ended(job)
    assert (state["status"], state["progress"], len(state["outputs"])) == ("completed", 1, 1)
    (output,) = state["outputs"]
    assert output["url"] == f"/outputs/{job}.{output_format}"
    model = studio.get(output["url"])
    assert len(model.content) == output["bytes"]
    mesh = trimesh.load(io.BytesIO(model.content), file_type=output_format, force="mesh")
    assert mesh.is_watertight
    assert mesh.volume > 0


ACCEPTED = {
    "an animation, of which the first frame counts": encoded(
        disc(), "WEBP", save_all=True, append_images=[disc(), disc()]
    ),
    "an animated PNG": encoded(disc(), save_all=True, append_images=[disc()]),
    "16 bits of grey": encoded(Image.fromarray(np.full((20, 20), 40000, dtype=np.uint16))),
    "a palette with transparency": encoded(disc().convert("P"), transparency=0),
    "one bit": encoded(disc().convert("1")),
    "a JPEG for printers": encoded(disc().convert("CMYK"), "JPEG"),
    "a picture with the largest allowed side": encoded(Image.new("L", (4096, 3))),
    "one pixel": encoded(Image.new("RGB", (1, 1))),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_an_unusual_picture_is_accepted(studio: Studio, name: str) -> None:
    assert studio.ended(studio.submitted(ACCEPTED[name], format="stl"))["status"] == "completed"


def test_the_content_decides_and_not_the_name(studio: Studio) -> None:
    assert studio.submit(png(), "../../etc/passwd.exe").status_code == 202
    assert error_of(studio.submit(b"MZ\x90\x00" * 50, "picture.png")) == "unsupported_image"


REFUSED: dict[str, tuple[bytes, dict[str, object], int, str]] = {
    "text": (b"hello", {}, 415, "unsupported_image"),
    "a GIF": (encoded(disc().convert("P"), "GIF"), {}, 415, "unsupported_image"),
    "a TIFF": (encoded(disc(), "TIFF"), {}, 415, "unsupported_image"),
    "a BMP": (encoded(disc(mode="RGB"), "BMP"), {}, 415, "unsupported_image"),
    "an SVG": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', {}, 415, "unsupported_image"),
    "a PDF": (b"%PDF-1.7\n%", {}, 415, "unsupported_image"),
    "an archive": (b"PK\x03\x04" + bytes(100), {}, 415, "unsupported_image"),
    "zeros": (bytes(1000), {}, 415, "unsupported_image"),
    "half a PNG": (encoded(Image.effect_noise((99, 99), 50))[:3000], {}, 422, "image_damaged"),
    "half a JPEG": (encoded(Image.effect_noise((99, 99), 50), "JPEG")[:2000], {}, 422, "image_damaged"),
    "half a WebP": (encoded(Image.effect_noise((99, 99), 50), "WEBP")[:1000], {}, 422, "image_damaged"),
    "the beginning of a PNG": (b"\x89PNG\r\n\x1a\n", {}, 422, "image_damaged"),
    "a PNG with a wrong checksum": (png()[:40] + b"\xff" + png()[41:], {}, 422, "image_damaged"),
    "nothing": (b"", {}, 400, "image_empty"),
    "a side too long": (encoded(Image.new("1", (4097, 1))), {}, 422, "image_too_large_side"),
    "a bomb": (bomb(60_000), {}, 422, "image_too_large_side"),
    "a bomb beyond all bounds": (bomb(2**31 - 1), {}, 422, "image_too_large_side"),
    "a format that is not made": (png(), {"format": "fbx"}, 400, "unsupported_format"),
    "a format in capitals": (png(), {"format": "GLB"}, 400, "unsupported_format"),
    "an empty format": (png(), {"format": ""}, 400, "unsupported_format"),
    "a path as format": (png(), {"format": "../../x"}, 400, "unsupported_format"),
    "steps in words": (png(), {"steps": "many"}, 400, "steps_invalid"),
    "a fraction of a step": (png(), {"steps": "20.5"}, 400, "steps_invalid"),
    "empty steps": (png(), {"steps": ""}, 400, "steps_invalid"),
    "digits of another script": (png(), {"steps": "٣٠"}, 400, "steps_invalid"),
    "endless digits": (png(), {"steps": "9" * 5000}, 400, "steps_invalid"),
    "too few steps": (png(), {"steps": 9}, 400, "steps_out_of_range"),
    "too many steps": (png(), {"steps": 101}, 400, "steps_out_of_range"),
    "negative steps": (png(), {"steps": -20}, 400, "steps_out_of_range"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_wrong_upload_is_refused_with_its_own_code(studio: Studio, name: str) -> None:
    picture, fields, status, code = REFUSED[name]
    response = studio.submit(picture, **fields)
    assert (response.status_code, error_of(response)) == (status, code)


def test_a_form_without_a_picture_says_so(studio: Studio) -> None:
    url = f"{studio.url}/api/generate-3d"
    for options in (
        {"data": {"format": "glb"}},
        {"files": {"picture": png()}},
        {"files": {"format": (None, "glb")}},
        {"files": {"image": (None, "no file")}},
        {"json": {"image": "data:image/png;base64,"}},
        {"data": png(), "headers": {"Content-Type": "image/png"}},
        {},
    ):
        response = requests.post(url, timeout=10, **options)
        assert (response.status_code, error_of(response)) == (400, "image_missing"), options


def test_more_than_one_picture_is_refused(studio: Studio) -> None:
    files = [("image", ("a.png", png())), ("image", ("b.png", png()))]
    response = requests.post(f"{studio.url}/api/generate-3d", files=files, timeout=10)
    assert (response.status_code, error_of(response)) == (400, "too_many_images")


def test_a_file_beyond_the_limit_is_refused_and_one_at_the_limit_is_not(make_studio: Make) -> None:
    studio = make_studio(MAX_FILE_SIZE=MEBIBYTE)
    studio.start("api")
    eventually(lambda: studio.get("/health").ok)
    # What follows the end of a JPEG is no part of the picture.
    assert studio.submit(jpeg().ljust(MEBIBYTE, b"\0")).status_code == 202
    for size in (MEBIBYTE + 1, 3 * MEBIBYTE):
        response = studio.submit(jpeg().ljust(size, b"\0"))
        assert (response.status_code, error_of(response)) == (413, "file_too_large")
        assert "1 MiB" in response.json()["error"]["message"]


def test_nothing_is_left_of_a_refused_upload(studio: Studio) -> None:
    before = sorted((studio.folder / "uploads").iterdir())
    for picture, fields, _, _ in REFUSED.values():
        studio.submit(picture, **fields)
    assert set((studio.folder / "uploads").iterdir()) <= set(before)


@pytest.mark.parametrize(
    "job_id", ["0" * 32, "0", "A" * 32, "..%2f..", "00000000-0000-4000-8000-000000000000", "a" * 4000, "%00", "*"]
)
def test_an_unknown_job_is_not_found(studio: Studio, job_id: str) -> None:
    response = studio.get(f"/api/job-status/{job_id}")
    assert (response.status_code, error_of(response)) == (404, "not_found" if "%2f" in job_id else "job_not_found")


def raw(studio: Studio, path: str) -> bytes:
    """The status line for a path that a client library would have cleaned up."""
    with socket.create_connection(("127.0.0.1", studio.ports["api"]), timeout=10) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while part := connection.recv(65536):
            answer += part
    return answer


@pytest.mark.parametrize(
    "path",
    [
        "/outputs/../uploads/x",
        "/outputs/..%2f..%2fetc%2fpasswd",
        "/outputs/%2e%2e/logs/pod-1/worker.log",
        "/outputs/....//worker.log",
        "/outputs/secret.txt",
        "/outputs/.",
        "/outputs/",
        "/outputs/%00",
        "/outputs//etc/passwd",
        "/outputs/..\\..\\x",
        f"/outputs/{'a' * 32}.glb",
        f"/outputs/{'a' * 32}.glb%00.txt",
        f"/outputs/.{'a' * 32}.glb.part",
        f"/outputs/{'a' * 32}.GLB",
        f"/outputs/{'a' * 32}.stl/",
    ],
)
def test_only_models_can_be_had_from_outputs(studio: Studio, path: str) -> None:
    (studio.folder / "outputs/secret.txt").write_text("secret")
    (studio.folder / "outputs" / f".{'a' * 32}.glb.part").write_text("secret")
    answer = raw(studio, path)
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"secret" not in answer


@pytest.mark.parametrize(
    ("output_format", "media_type"), [("glb", "model/gltf-binary"), ("obj", "model/obj"), ("stl", "model/stl")]
)
def test_a_model_is_a_download_that_can_be_resumed(studio: Studio, output_format: str, media_type: str) -> None:
    job = studio.submitted(format=output_format)
    studio.ended(job)
    path = f"/outputs/{job}.{output_format}"
    whole = studio.get(path)
    assert whole.headers["Content-Type"].split(";")[0] == media_type
    assert whole.headers["Content-Disposition"] == f"attachment; filename={job}.{output_format}"
    assert whole.headers["X-Content-Type-Options"] == "nosniff"
    head = requests.head(studio.url + path, timeout=10)
    assert (head.status_code, head.headers["Content-Length"]) == (200, str(len(whole.content)))
    rest = studio.get(path, headers={"Range": "bytes=10-19"})
    assert (rest.status_code, rest.content) == (206, whole.content[10:20])


def test_a_job_id_cannot_be_guessed_from_another(studio: Studio) -> None:
    ids = {studio.submitted() for _ in range(3)}
    assert len(ids) == 3
    assert all(uuid.UUID(job).version == 4 for job in ids)


def test_unknown_paths_and_wrong_methods_are_errors_in_json(studio: Studio) -> None:
    for path in ("/", "/api", "/api/", "/api/nothing", "/nothing", "/socket.io/"):
        response = studio.get(path)
        assert (response.status_code, error_of(response)) == (404, "not_found")
    response = studio.get("/api/generate-3d")
    assert (response.status_code, error_of(response)) == (405, "method_not_allowed")
    assert "POST" in response.headers["Allow"]
    response = requests.delete(f"{studio.url}/health", timeout=10)
    assert (response.status_code, error_of(response)) == (405, "method_not_allowed")


def test_a_feature_that_is_off_says_so(make_studio: Make) -> None:
    studio = make_studio(IMAGE_TO_3D_ENABLED=0, METRICS_ENABLED=0)
    studio.start("api")
    eventually(lambda: studio.get("/health").ok)
    response = studio.submit(png())
    assert (response.status_code, error_of(response)) == (403, "feature_disabled")
    response = studio.get("/metrics")
    assert (response.status_code, error_of(response)) == (404, "not_found")


def test_a_disk_without_room_is_told_and_no_job_is_accepted(make_studio: Make) -> None:
    studio = make_studio()
    studio.start("api")
    eventually(lambda: studio.get("/health").ok)
    (studio.folder / "uploads").rmdir()
    response = studio.submit(png())
    assert (response.status_code, error_of(response)) == (503, "storage_full")
    assert "Retry-After" in response.headers
    assert not studio.queue.client.llen("orfeas:queue")


def test_an_error_of_our_own_tells_no_details(make_studio: Make) -> None:
    studio = make_studio()
    studio.start("api")
    eventually(lambda: studio.get("/health").ok)
    job = studio.submitted()
    studio.queue.client.hset(f"orfeas:job:{job}", "progress", "not a number")
    response = studio.get(f"/api/job-status/{job}")
    assert (response.status_code, error_of(response)) == (500, "internal_error")
    assert "number" not in response.text
    assert "could not convert" in "".join(log.read_text() for log in studio.logs.glob("api-*.log"))


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory, redis_server: object) -> object:
    studio = Studio(
        tmp_path_factory.mktemp("limited"),
        redis_server,
        RATE_LIMIT_ENABLED=1,
        RATE_LIMIT_PER_HOUR=3,
        REDIS_DB=1,  # type: ignore[arg-type]
    )
    studio.start("api")
    eventually(lambda: studio.get("/health").ok)
    yield studio
    studio.stop()


def client(number: int) -> dict[str, str]:
    return {"X-Forwarded-For": f"203.0.113.{number}"}


def test_the_eleventh_request_of_a_minute_is_refused_and_other_clients_are_served(limited: Studio) -> None:
    path = f"/api/job-status/{'0' * 32}"
    codes = [limited.get(path, headers=client(1)).status_code for _ in range(11)]
    assert codes == [404] * 10 + [429]
    response = limited.get(path, headers=client(1))
    assert error_of(response) == "rate_limited"
    assert 0 < int(response.headers["Retry-After"]) <= 60
    assert limited.get(path, headers=client(2)).status_code == 404
    assert limited.metric("orfeas_rate_limited_requests_total", limit="api") >= 2


def test_paths_that_do_not_exist_count_as_well(limited: Studio) -> None:
    codes = [limited.get(f"/api/guess-{number}", headers=client(3)).status_code for number in range(11)]
    assert codes == [404] * 10 + [429]


def test_other_paths_and_preflights_do_not_count(limited: Studio) -> None:
    for _ in range(15):
        assert limited.get("/health", headers=client(4)).status_code == 200
        requests.options(f"{limited.url}/api/generate-3d", headers=client(4), timeout=10)
    assert limited.get("/api/x", headers=client(4)).status_code == 404


def test_jobs_have_a_limit_an_hour_of_their_own(limited: Studio) -> None:
    url = f"{limited.url}/api/generate-3d"
    answers = [requests.post(url, files={"image": ("a.png", png())}, headers=client(5), timeout=10) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [202, 202, 202, 429]
    assert int(answers[-1].headers["Retry-After"]) > 60
    assert limited.get("/api/x", headers=client(5)).status_code == 404
    assert limited.metric("orfeas_rate_limited_requests_total", limit="jobs") == 1


def test_limits_hold_without_redis(make_studio: Make) -> None:
    studio = make_studio(RATE_LIMIT_ENABLED=1, GUNICORN_WORKERS=1)
    studio.start("api")
    eventually(lambda: studio.get("/health").ok)
    studio.queue.stop()
    path = f"/api/job-status/{'0' * 32}"
    codes = [studio.get(path, headers=client(1)).status_code for _ in range(11)]
    assert codes == [503] * 10 + [429]
    studio.queue.start()
    eventually(lambda: studio.get(path, headers=client(2)).status_code == 404)


ORIGIN = "https://studio.example.org"


def test_pages_of_other_sites_cannot_submit(studio: Studio) -> None:
    url = f"{studio.url}/api/generate-3d"

    def submit(**headers: str) -> requests.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return requests.post(url, files={"image": ("a.png", png())}, headers=named, timeout=10)

    for headers in ({"Origin": "https://evil.example.net"}, {"Origin": "null"}, {"Sec_Fetch_Site": "cross-site"}):
        response = submit(**headers)
        assert (response.status_code, error_of(response)) == (403, "cross_site"), headers
    for headers in (
        {"Origin": ORIGIN, "Sec_Fetch_Site": "cross-site"},
        {"Origin": studio.url, "Sec_Fetch_Site": "same-origin"},
        {"Sec_Fetch_Site": "same-origin"},
        {},
    ):
        assert submit(**headers).status_code == 202, headers


def test_the_scheme_that_the_edge_tells_is_part_of_the_own_origin(studio: Studio) -> None:
    headers = {"Host": "own.example.org", "Origin": "https://own.example.org", "X-Forwarded-Proto": "https"}
    response = requests.post(
        f"{studio.url}/api/generate-3d", files={"image": ("a.png", png())}, headers=headers, timeout=10
    )
    assert response.status_code == 202


def test_origins_that_are_allowed_may_read_answers(studio: Studio) -> None:
    allowed = studio.get("/api/x", headers={"Origin": ORIGIN})
    assert allowed.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert allowed.headers["Access-Control-Allow-Credentials"] == "true"
    assert "Access-Control-Allow-Origin" not in studio.get("/health", headers={"Origin": ORIGIN}).headers
    other = studio.get("/api/x", headers={"Origin": "https://evil.example.net"})
    assert other.headers.get("Access-Control-Allow-Origin") != "https://evil.example.net"


def test_every_answer_has_the_security_headers_once(studio: Studio) -> None:
    for path in ("/health", "/api/x", "/metrics"):
        headers = studio.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Referrer-Policy"] == "strict-origin-when-cross-origin"
        assert headers["Content-Security-Policy"].startswith("default-src 'none'")


def test_headers_and_checks_can_be_switched_off(make_studio: Make) -> None:
    studio = make_studio(SECURITY_HEADERS_ENABLED=0, CSRF_ENABLED=0, CORS_ENABLED=0)
    studio.start("api")
    eventually(lambda: studio.get("/health").ok)
    response = requests.post(
        f"{studio.url}/api/generate-3d", files={"image": ("a.png", png())}, headers={"Origin": ORIGIN}, timeout=10
    )
    assert response.status_code == 202
    assert not {"X-Frame-Options", "Access-Control-Allow-Origin"} & set(response.headers)


def test_the_contract_of_health(studio: Studio) -> None:
    assert studio.get("/health").json() == {"status": "healthy"}
    assert studio.get("/ready").json() == {
        "ready": True,
        "model": "loaded",
        "redis": "reachable",
        "worker": "ready",
        "realtime": "ready",
    }
    for name in ("worker", "realtime"):
        for path in ("/health", "/ready"):
            assert requests.get(f"http://127.0.0.1:{studio.ports[name]}{path}", timeout=5).status_code == 200


def test_the_studio_is_not_ready_without_the_socket_io_server(make_studio: Make) -> None:
    studio = make_studio()
    studio.start("api")
    studio.start("worker")
    state = eventually(lambda: found if (found := studio.get("/ready").json())["worker"] == "ready" else None)
    assert (state["ready"], state["realtime"]) == (False, "not ready")
    assert "no answer" in state["reasons"]["realtime"]


def test_the_application_uses_the_session_settings() -> None:
    """Read in a process of its own: importing the API takes the environment."""
    program = (
        "from orfeas.api import app; c = app.config;"
        "print(c['SESSION_COOKIE_SECURE'], c['SESSION_COOKIE_HTTPONLY'], c['SESSION_COOKIE_SAMESITE'], c['DEBUG'])"
    )
    with tempfile.TemporaryDirectory() as metrics, tempfile.NamedTemporaryFile("w") as key:
        key.write(SECRET_KEY)
        key.flush()
        environment = {
            "PYTHONPATH": str(HERE.parent),
            "SECRET_KEY_FILE": key.name,
            "SESSION_COOKIE_SAMESITE": "Strict",
            "PROMETHEUS_MULTIPROC_DIR": metrics,
        }
        result = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
        )
    assert result.stdout.split() == ["True", "True", "Strict", "False"]
