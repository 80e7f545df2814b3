"""Who may use the API, and what the audit log notes of it."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
import requests
from conftest import Studio, error_of, eventually, log_records, png

Make = Callable[..., Studio]
KEY = "k" * 40


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, redis_server: object) -> Any:
    """A studio that demands a key of its API, as a Secret mounts its keys: with a hidden folder beside them."""
    folder = tmp_path_factory.mktemp("keys")
    (folder / "..data").mkdir()
    (folder / "press-office").write_text(hashlib.sha256(KEY.encode()).hexdigest().upper() + "\n")
    (folder / "empty").write_text("")
    studio = Studio(
        tmp_path_factory.mktemp("guarded"),
        redis_server,  # type: ignore[arg-type]
        API_KEYS_DIR=folder,
        RATE_LIMIT_ENABLED=1,
        REDIS_DB=2,
    )
    studio.start("api")
    eventually(lambda: studio.get("/health").ok)
    yield studio
    studio.stop()


def submit(studio: Studio, client: int, **headers: str) -> requests.Response:
    return requests.post(
        f"{studio.url}/api/generate-3d",
        files={"image": ("a.png", png())},
        headers={"X-Forwarded-For": f"203.0.113.{client}", **headers},
        timeout=20,
    )


def audited(studio: Studio) -> list[dict[str, Any]]:
    return [
        record
        for log in studio.logs.glob("api-*.log")
        for record in log_records(studio, log.stem)
        if record["logger"] == "orfeas.audit"
    ]


@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        (None, "api_key_missing"),
        ("Bearer", "api_key_missing"),
        (f"Basic {KEY}", "api_key_missing"),
        ("Bearer wrong", "api_key_invalid"),
        (f"Bearer {KEY}x", "api_key_invalid"),
        ("Bearer \xff\xfe", "api_key_invalid"),
        (f"Bearer {hashlib.sha256(KEY.encode()).hexdigest()}", "api_key_invalid"),
    ],
)
def test_without_a_key_the_api_is_shut(guarded: Studio, authorization: str | None, code: str) -> None:
    response = submit(guarded, 1, **({"Authorization": authorization} if authorization else {}))
    assert (response.status_code, error_of(response)) == (401, code)
    assert response.headers["WWW-Authenticate"] == "Bearer"


def test_with_a_key_it_is_open(guarded: Studio) -> None:
    response = submit(guarded, 2, Authorization=f"Bearer {KEY}")
    assert response.status_code == 202
    path = f"/api/job-status/{response.json()['job_id']}"
    assert guarded.get(path, headers={"Authorization": f"bearer {KEY}"}).status_code == 200
    response = guarded.get(path)
    assert (response.status_code, error_of(response)) == (401, "api_key_missing")


def test_probes_metrics_and_preflights_need_no_key(guarded: Studio) -> None:
    assert guarded.get("/health").status_code == 200
    assert guarded.get("/ready").json()["redis"] == "reachable"
    assert guarded.get("/metrics").status_code == 200
    assert requests.options(f"{guarded.url}/api/generate-3d", timeout=10).status_code == 200


def test_guesses_of_keys_are_limited(guarded: Studio) -> None:
    codes = [submit(guarded, 3, Authorization=f"Bearer guess-{number}").status_code for number in range(11)]
    assert codes == [401] * 10 + [429]


def test_the_audit_log_says_who_did_what_and_how_it_ended(guarded: Studio) -> None:
    job = submit(guarded, 4, Authorization=f"Bearer {KEY}", **{"X-Request-ID": "request-4"}).json()["job_id"]
    submit(guarded, 4, Authorization="Bearer a-wrong-secret")
    submit(guarded, 4, Authorization=f"Bearer {KEY}", Origin="https://evil.example.net")
    guarded.get(f"/outputs/{'a' * 32}.glb", headers={"X-Forwarded-For": "203.0.113.4"})
    found = [record for record in audited(guarded) if record["client"] == "203.0.113.4"]
    found.sort(key=lambda record: record["time"])
    assert {(r["action"], r["status"], r["code"], r["api_key"], r["job_id"], r["request_id"]) for r in found} == {
        ("submit", 202, "ok", "press-office", job, "request-4"),
        ("submit", 401, "api_key_invalid", None, None, None),
        ("submit", 403, "cross_site", "press-office", None, None),
        ("download", 404, "not_found", None, "a" * 32, None),
    }


def test_no_secret_and_no_line_of_a_client_gets_into_the_log(guarded: Studio) -> None:
    forged = '%0a{"logger":"orfeas.audit","action":"submit","client":"forged"}%0d%0a'
    guarded.get(f"/api/{forged}?key={KEY}", headers={"X-Forwarded-For": "203.0.113.5"})
    submit(guarded, 5, Authorization=f"Bearer {KEY}")
    assert not [record for record in audited(guarded) if record["client"] == "forged"]
    assert [record for record in audited(guarded) if record["client"] == "203.0.113.5" and "forged" in record["path"]]
    everything = "".join(log.read_text() for log in guarded.logs.glob("*.log"))
    everything += (guarded.folder / "logs/api.err").read_text()
    for secret in (KEY, hashlib.sha256(KEY.encode()).hexdigest(), "a-wrong-secret"):
        assert secret not in everything
    for line in everything.splitlines():
        json.loads(line)


def test_a_key_that_is_withdrawn_opens_nothing_at_once(make_studio: Make, tmp_path: Any) -> None:
    (tmp_path / "keys").mkdir()
    key = tmp_path / "keys/one"
    key.write_text(hashlib.sha256(KEY.encode()).hexdigest())
    studio = make_studio(API_KEYS_DIR=tmp_path / "keys")
    studio.start("api")
    eventually(lambda: studio.get("/health").ok)
    headers = {"Authorization": f"Bearer {KEY}"}
    assert studio.get(f"/api/job-status/{'0' * 32}", headers=headers).status_code == 404
    key.unlink()
    assert studio.get(f"/api/job-status/{'0' * 32}", headers=headers).status_code == 401


def test_a_client_has_one_limit_over_all_pods(make_studio: Make) -> None:
    pods = [make_studio(RATE_LIMIT_ENABLED=1, POD_NAME=f"pod-{number}") for number in (1, 2)]
    for pod in pods:
        pod.start("api")
    for pod in pods:
        eventually(lambda pod=pod: pod.get("/health").ok)
    path = f"/api/job-status/{'0' * 32}"
    headers = {"X-Forwarded-For": "203.0.113.9"}
    codes = [pods[number % 2].get(path, headers=headers).status_code for number in range(14)]
    assert codes == [404] * 10 + [429] * 4


HEADERS = ["X-Real-IP", "Forwarded", "X-Client-IP", "True-Client-IP", "X_Forwarded_For"]


@pytest.mark.parametrize("header", HEADERS)
def test_no_other_header_makes_another_client(guarded: Studio, header: str) -> None:
    """Nor does what stands before the last address in X-Forwarded-For, which alone is web's word."""
    last = 50 + HEADERS.index(header)
    codes = [
        guarded.get(
            "/api/x",
            headers={
                header: f"for=198.51.100.{number}" if header == "Forwarded" else f"198.51.100.{number}",
                "X-Forwarded-For": f"198.51.100.{number}, 203.0.113.{last}",
            },
        ).status_code
        for number in range(11)
    ]
    assert codes == [401] * 10 + [429]
