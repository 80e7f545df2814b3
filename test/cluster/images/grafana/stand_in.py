"""
A stand-in for Grafana's server, for clusters that reach no registry.

It is no Grafana: it shows no dashboard. It reads the configuration, the provisioning and the dashboards as they are
mounted, refuses what Grafana would refuse, keeps a database where Grafana has its own, and answers the part of the API
that tells whether all of that is right.
"""

import base64
import configparser
import hashlib
import hmac
import http.server
import json
import os
import re
import secrets
import signal
import sqlite3
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import yaml
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, generate_latest

CONFIG = Path(os.environ["GF_PATHS_CONFIG"])
DATA = Path(os.environ["GF_PATHS_DATA"])
PROVISIONING = Path(os.environ["GF_PATHS_PROVISIONING"])
PORT = 3000
VERSION = "stand-in"
DATA_SOURCE_TYPES = {"alertmanager", "elasticsearch", "graphite", "influxdb", "loki", "mysql", "postgres", "prometheus"}
BUILT_IN_SOURCES = {"grafana", "-- Grafana --", "-- Mixed --"}
UID = re.compile(r"[\w-]{1,40}")

REQUESTS = Counter("grafana_http_requests", "Requests", ["status"])
DASHBOARDS = Gauge("grafana_stat_totals_dashboard", "Dashboards")
Gauge("grafana_build_info", "The version, as a label", ["version"]).labels(VERSION).set(1)


class Refused(Exception):
    """What Grafana would not start with, or would not show."""


def need(holds: object, fault: str) -> None:
    if not holds:
        raise Refused(fault)


def log(message: str, **fields: object) -> None:
    print(json.dumps({"logger": "grafana-stand-in", "msg": message, **fields}), flush=True)


def read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise Refused(f"{path}: not readable: {error.strerror}") from None


def expand(value: str) -> str:
    """Grafana's own variables: `$__file{path}` is what the file holds, without the space around it."""
    return re.sub(r"\$__file\{(.+?)\}", lambda found: read(Path(found[1])).strip(), value)


def load_config() -> configparser.ConfigParser:
    config = configparser.ConfigParser(interpolation=None)
    try:
        config.read_string(read(CONFIG))
    except configparser.Error as error:
        raise Refused(f"{CONFIG}: {error}") from None
    return config


def unique(values: list[str], what: str) -> None:
    twice = {value for value in values if values.count(value) > 1}
    need(not twice, f"{what} more than once: {', '.join(sorted(twice))}")


def provisioned(kind: str, key: str) -> list[dict]:
    """The entries of all files of a kind."""
    folder = PROVISIONING / kind
    need(folder.is_dir(), f"{folder}: no such folder")
    entries: list[dict] = []
    for path in sorted(folder.glob("*.y*ml")):
        try:
            content = yaml.safe_load(read(path))
        except yaml.YAMLError as error:
            raise Refused(f"{path}: no YAML: {error}") from None
        need(isinstance(content, dict) and content.get("apiVersion") == 1, f"{path}: apiVersion is not 1")
        listed = content.get(key)
        need(isinstance(listed, list) and all(isinstance(one, dict) for one in listed), f"{path}: no list of {key}")
        entries += listed
    need(entries, f"{folder}: nothing is provisioned")
    return entries


def load_data_sources() -> dict[str, dict]:
    """Data sources by their uids."""
    sources = provisioned("datasources", "datasources")
    for source in sources:
        for field in ("name", "uid", "type", "url"):
            need(isinstance(source.get(field), str) and source[field], f"data source {source.get('name')}: no {field}")
        need(source["type"] in DATA_SOURCE_TYPES, f"data source {source['name']}: unknown type {source['type']}")
        need(source.get("access", "proxy") in ("proxy", "direct"), f"data source {source['name']}: access is not proxy")
    for field in ("uid", "name"):
        unique([source[field] for source in sources], f"data source {field}")
    need(sum(bool(source.get("isDefault")) for source in sources) <= 1, "more than one data source is the default")
    return {source["uid"]: source for source in sources}


def check_source(reference: object, sources: dict[str, dict], where: str) -> None:
    if reference is None:
        return
    uid = reference.get("uid") if isinstance(reference, dict) else reference
    need(uid in sources or uid in BUILT_IN_SOURCES, f"{where}: no data source {uid}")


def load_dashboard(path: Path, sources: dict[str, dict]) -> dict:
    try:
        dashboard = json.loads(read(path))
    except ValueError as error:
        raise Refused(f"{path}: no JSON: {error}") from None
    need(isinstance(dashboard, dict) and dashboard.get("title"), f"{path}: no title")
    need(UID.fullmatch(str(dashboard.get("uid", ""))), f"{path}: no uid of at most 40 letters, digits and hyphens")
    need(isinstance(dashboard.get("schemaVersion"), int), f"{path}: no schemaVersion")
    panels = dashboard.get("panels")
    need(isinstance(panels, list), f"{path}: no panels")
    panels = panels + [inner for panel in panels for inner in panel.get("panels") or []]
    unique([str(panel.get("id")) for panel in panels], f"{path}: panel id")
    for panel in panels:
        where = f"{path}: panel {panel.get('title')}"
        need(panel.get("type"), f"{where}: no type")
        position = panel.get("gridPos") or {}
        need(all(isinstance(position.get(side), int) for side in "xywh"), f"{where}: no gridPos")
        check_source(panel.get("datasource"), sources, where)
        targets = panel.get("targets") or []
        unique([target.get("refId", "") for target in targets], f"{where}: refId")
        for target in targets:
            check_source(target.get("datasource"), sources, where)
    for section, found in (("templating", "variable"), ("annotations", "annotation")):
        for entry in (dashboard.get(section) or {}).get("list") or []:
            check_source(entry.get("datasource"), sources, f"{path}: {found} {entry.get('name')}")
    return dashboard


def load_dashboards(sources: dict[str, dict]) -> list[tuple[dict, str, bool]]:
    """Each dashboard, its folder, and whether it stays when its file is gone."""
    providers = provisioned("dashboards", "providers")
    unique([str(provider.get("name")) for provider in providers], "dashboard provider")
    found = []
    for provider in providers:
        name = provider.get("name")
        need(name and provider.get("type", "file") == "file", f"dashboard provider {name}: type is not file")
        folder = Path((provider.get("options") or {}).get("path") or "")
        need(folder.is_absolute() and os.access(folder, os.R_OK | os.X_OK), f"{folder}: not readable")
        for path in sorted(folder.glob("*.json")):
            dashboard = load_dashboard(path, sources)
            found.append((dashboard, provider.get("folder", ""), provider.get("disableDeletion", False)))
    unique([dashboard["uid"] for dashboard, _, _ in found], "dashboard uid")
    unique([f"{folder}/{dashboard['title']}" for dashboard, folder, _ in found], "dashboard title")
    return found


class Database:
    """grafana.db: the admin, whose password is taken when the file is new, and what is provisioned."""

    def __init__(self, config: configparser.ConfigParser) -> None:
        self._lock = threading.Lock()
        try:
            self._connection = sqlite3.connect(DATA / "grafana.db", check_same_thread=False)
            if config.getboolean("database", "wal", fallback=False):
                self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.executescript("""
                CREATE TABLE IF NOT EXISTS user (login TEXT PRIMARY KEY, salt TEXT NOT NULL, password TEXT NOT NULL);
                CREATE TABLE IF NOT EXISTS data_source (uid TEXT PRIMARY KEY, data TEXT NOT NULL);
                CREATE TABLE IF NOT EXISTS dashboard (
                    uid TEXT PRIMARY KEY, title TEXT NOT NULL, folder TEXT NOT NULL, keep INTEGER NOT NULL, data TEXT);
            """)
        except sqlite3.Error as error:
            raise Refused(f"{DATA / 'grafana.db'}: {error}") from None
        if not self.query("SELECT 1 FROM user"):
            password = expand(config.get("security", "admin_password", fallback="admin"))
            need(password, "security.admin_password is empty")
            salt = secrets.token_hex(5)
            login = config.get("security", "admin_user", fallback="admin")
            with self._connection:
                self._connection.execute("INSERT INTO user VALUES (?, ?, ?)", (login, salt, self._hash(password, salt)))

    @staticmethod
    def _hash(password: str, salt: str) -> str:
        return hashlib.pbkdf2_hmac("sha256", password.encode(), salt.encode(), 10_000, 50).hex()

    def query(self, statement: str, *values: object) -> list[tuple]:
        with self._lock:
            return self._connection.execute(statement, values).fetchall()

    def admits(self, login: str, password: str) -> bool:
        users = self.query("SELECT salt, password FROM user WHERE login = ?", login)
        return any(hmac.compare_digest(self._hash(password, salt), known) for salt, known in users)

    def change(self, login: str, password: str) -> None:
        salt = secrets.token_hex(5)
        with self._lock, self._connection as connection:
            connection.execute(
                "UPDATE user SET salt = ?, password = ? WHERE login = ?", (salt, self._hash(password, salt), login)
            )

    def provision(self) -> None:
        """Reads everything again. Raises Refused when anything is wrong; then all stays as it was."""
        sources = load_data_sources()
        dashboards = load_dashboards(sources)
        with self._lock, self._connection as connection:
            connection.execute("DELETE FROM data_source")
            connection.execute("DELETE FROM dashboard WHERE NOT keep")
            connection.executemany(
                "INSERT INTO data_source VALUES (?, ?)", [(uid, json.dumps(source)) for uid, source in sources.items()]
            )
            connection.executemany(
                "INSERT OR REPLACE INTO dashboard VALUES (?, ?, ?, ?, ?)",
                [(one["uid"], one["title"], folder, keep, json.dumps(one)) for one, folder, keep in dashboards],
            )
        DASHBOARDS.set(len(dashboards))

    def provision_for_ever(self, interval_seconds: float) -> None:
        while True:
            threading.Event().wait(interval_seconds)
            try:
                self.provision()
            except Refused as fault:
                log("refused", fault=str(fault))


class Handler(http.server.BaseHTTPRequestHandler):
    database: Database
    root_url: str
    sub_path: str

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path.startswith(f"{self.sub_path}/"):
            path = path.removeprefix(self.sub_path)
        elif not path.startswith("/api"):
            return self.answer(301, b"", "text/html", Location=self.root_url + path.removeprefix("/"))
        if path == "/healthz":
            return self.answer(200, b"Ok", "text/plain")
        if path == "/api/health":
            return self.health()
        if path == "/metrics":
            return self.answer(200, generate_latest(), CONTENT_TYPE_LATEST)
        if path == "/login":
            return self.answer(200, b"<title>Grafana (stand-in)</title>", "text/html")
        if not self.authenticated():
            return self.json(401, {"message": "Unauthorized"})
        self.api(path)

    def do_PUT(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        path = urlsplit(self.path).path
        if not self.authenticated() or not self.database.admits("admin", asked["oldPassword"]):
            return self.json(401, {"message": "Unauthorized"})
        if path.removeprefix(self.sub_path) != "/api/user/password":
            return self.json(404, {"message": "Not found"})
        self.database.change("admin", asked["newPassword"])
        self.json(200, {"message": "User password changed"})

    def health(self) -> None:
        try:
            self.database.query("SELECT 1 FROM user")
        except sqlite3.Error as error:
            return self.json(503, {"database": "failing", "version": VERSION, "standIn": True, "error": str(error)})
        self.json(200, {"database": "ok", "version": VERSION, "standIn": True})

    def authenticated(self) -> bool:
        scheme, _, encoded = self.headers.get("Authorization", "").partition(" ")
        try:
            login, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except ValueError:
            return False
        return scheme == "Basic" and self.database.admits(login, password)

    def api(self, path: str) -> None:
        if path == "/api/user":
            return self.json(200, {"login": "admin"})
        if path == "/api/search":
            rows = self.database.query("SELECT uid, title, folder FROM dashboard ORDER BY uid")
            return self.json(200, [{"uid": uid, "title": title, "folderTitle": folder} for uid, title, folder in rows])
        if path == "/api/datasources":
            rows = self.database.query("SELECT data FROM data_source ORDER BY uid")
            return self.json(200, [json.loads(data) for (data,) in rows])
        if match := re.fullmatch(r"/api/dashboards/uid/([\w-]+)", path):
            rows = self.database.query("SELECT folder, data FROM dashboard WHERE uid = ?", match[1])
            for folder, data in rows:
                return self.json(200, {"meta": {"folderTitle": folder}, "dashboard": json.loads(data)})
        if match := re.fullmatch(r"/api/datasources/proxy/uid/([\w-]+)(/.*)", path):
            rows = self.database.query("SELECT data FROM data_source WHERE uid = ?", match[1])
            for (data,) in rows:
                return self.forward(json.loads(data)["url"].rstrip("/") + match[2])
        self.json(404, {"message": "Not found"})

    def forward(self, url: str) -> None:
        try:
            with urllib.request.urlopen(f"{url}?{urlsplit(self.path).query}", timeout=30) as answer:
                self.answer(answer.status, answer.read(), answer.headers["Content-Type"])
        except urllib.error.HTTPError as error:
            self.answer(error.code, error.read(), error.headers["Content-Type"])
        except OSError as error:
            self.json(502, {"message": f"Bad gateway: {error}"})

    def json(self, status: int, value: object) -> None:
        self.answer(status, json.dumps(value).encode(), "application/json")

    def answer(self, status: int, body: bytes, content_type: str, **headers: str) -> None:
        REQUESTS.labels(status).inc()
        self.send_response(status)
        for name, value in {"Content-Type": content_type, "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Grafana does not log requests either."""


def main() -> None:
    config = load_config()
    database = Database(config)
    database.provision()
    root_url = config.get("server", "root_url", fallback=f"http://localhost:{PORT}/")
    Handler.database = database
    Handler.root_url = root_url
    below_path = config.getboolean("server", "serve_from_sub_path", fallback=False)
    Handler.sub_path = urlsplit(root_url).path.rstrip("/") if below_path else ""
    seconds = min(provider.get("updateIntervalSeconds", 10) for provider in provisioned("dashboards", "providers"))
    threading.Thread(target=database.provision_for_ever, args=(seconds,), daemon=True).start()
    server = http.server.ThreadingHTTPServer(("", PORT), Handler)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    log("this is a stand-in for Grafana, which shows no dashboards", url=root_url)
    server.serve_forever()


if __name__ == "__main__":
    try:
        main()
    except Refused as fault:
        log("refused", fault=str(fault))
        sys.exit(1)
