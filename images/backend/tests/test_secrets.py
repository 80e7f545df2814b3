"""Secrets are files, whose content may change while the processes run."""

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import PASSWORD, SECRET_KEY, RedisServer, Studio, eventually
from flask import Flask, session
from flask.testing import FlaskClient

from orfeas.sessions import Sessions

NEW = "another-key-for-tests-of-more-than-32-characters"


@pytest.fixture
def key(tmp_path: Path) -> Path:
    file = tmp_path / "SECRET_KEY"
    file.write_text(SECRET_KEY)
    return file


def visit(app: Flask, client: FlaskClient) -> object:
    """Who the session says the visitor is, and then a session that says so."""
    return client.get("/").json["who"]  # type: ignore[index]


@pytest.fixture
def process(key: Path) -> Callable[[], Flask]:
    def make() -> Flask:
        app = Flask("test")
        app.session_interface = Sessions(key)

        @app.get("/")
        def who() -> dict[str, object]:
            before = session.get("who")
            session["who"] = "somebody"
            return {"who": before}

        return app

    return make


def test_a_session_outlives_the_change_of_its_key(key: Path, process: Callable[[], Flask]) -> None:
    app = process()
    client = app.test_client()
    visit(app, client)
    key.with_name("SECRET_KEY.next").write_text(NEW)
    assert visit(app, client) == "somebody"
    key.write_text(NEW)
    key.with_name("SECRET_KEY.next").unlink()
    key.with_name("SECRET_KEY.previous").write_text(SECRET_KEY)
    assert visit(app, client) == "somebody"
    key.with_name("SECRET_KEY.previous").unlink()
    assert visit(app, client) == "somebody"


def test_the_old_key_signs_nothing_once_the_change_is_done(key: Path, process: Callable[[], Flask]) -> None:
    app = process()
    client = app.test_client()
    visit(app, client)
    key.write_text(NEW)
    assert visit(app, client) is None


def test_a_process_accepts_what_another_has_signed_with_the_next_key(key: Path, process: Callable[[], Flask]) -> None:
    ahead, client = process(), process().test_client()
    key.write_text(NEW)
    visit(ahead, cookies := ahead.test_client())
    cookie = cookies.get_cookie("session")
    assert cookie
    key.write_text(SECRET_KEY)
    key.with_name("SECRET_KEY.next").write_text(NEW)
    client.set_cookie("session", cookie.value)
    assert visit(ahead, client) == "somebody"


def test_a_key_that_cannot_be_read_for_a_moment_leaves_the_former(key: Path, process: Callable[[], Flask]) -> None:
    app = process()
    client = app.test_client()
    visit(app, client)
    key.unlink()
    assert visit(app, client) == "somebody"


def test_a_new_password_of_redis_needs_no_restart(
    make_studio: Callable[..., Studio], private_redis: RedisServer
) -> None:
    studio = make_studio(RATE_LIMIT_ENABLED=1).start_all()
    administrator = private_redis.client
    administrator.execute_command("ACL", "SETUSER", "default", ">new-password")
    (studio.folder / "redis-password").write_text("new-password")
    administrator.execute_command("ACL", "SETUSER", "default", f"<{PASSWORD}")
    for kind in ("normal", "pubsub"):
        administrator.client_kill_filter(_type=kind, skipme=True)
    assert studio.ended(studio.submitted())["status"] == "completed"
    assert eventually(lambda: studio.get("/ready").ok)
