"""The namespace's objects, from a stand-in for the API server."""

import datetime
import http.server
import ipaddress
import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Bed, thread, write
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from orfeas_backup import objects

CLUSTERS = {"uid": "1", "resourceVersion": "2", "generation": 3, "creationTimestamp": "2024-01-01T00:00:00Z"}
OBJECTS = {
    "configmaps": [
        {"metadata": {"name": "grafana-files", **CLUSTERS}, "data": {"a": "b"}},
        {"metadata": {"name": "kube-root-ca.crt"}, "data": {}},
    ],
    "services": [
        {"metadata": {"name": "web"}, "spec": {"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ports": []}},
        {"metadata": {"name": "redis-headless"}, "spec": {"clusterIP": "None", "clusterIPs": ["None"]}},
    ],
    "persistentvolumeclaims": [
        {
            "metadata": {
                "name": "outputs",
                "annotations": {"pv.kubernetes.io/bind-completed": "yes", "orfeas.example.com/kept": "yes"},
                "finalizers": ["kubernetes.io/pvc-protection"],
            },
            "spec": {"volumeName": "pvc-1", "accessModes": ["ReadWriteOnce"]},
            "status": {"phase": "Bound"},
        }
    ],
    "deployments": [
        {
            "metadata": {"name": "web", "managedFields": [{}], "labels": {"a": "b"}},
            "spec": {"replicas": 2},
            "status": {},
        },
        {"metadata": {"name": "owned", "ownerReferences": [{"kind": "Operator"}]}, "spec": {}},
    ],
}
SECRETS = {
    "orfeas-app": {"kind": "Secret", "metadata": {"name": "orfeas-app", **CLUSTERS}, "data": {"SECRET_KEY": "eA=="}}
}


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        *_, namespace, kind = self.path.split("/")
        if self.headers["Authorization"] != "Bearer token-of-the-pod":
            return self.answer(403, {})
        if namespace == "secrets":
            return self.answer(200 if kind in SECRETS else 404, SECRETS.get(kind, {}))
        group = self.path.split("/namespaces/")[0].removeprefix("/api/").removeprefix("/apis/")
        name = {"configmaps": "ConfigMap", "services": "Service", "deployments": "Deployment"}
        kind_of = name.get(kind, "PersistentVolumeClaim" if kind == "persistentvolumeclaims" else "Other")
        return self.answer(200, {"kind": f"{kind_of}List", "apiVersion": group, "items": OBJECTS.get(kind, [])})

    def answer(self, code: int, content: Any) -> None:
        self.send_response(code)
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())


def certificate(folder: Path) -> tuple[Path, Path]:
    """Of 127.0.0.1, signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "stand-in")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    return write(folder / "ca.crt", made.public_bytes(pem)), write(folder / "tls.key", private)


@pytest.fixture
def api_server(bed: Bed) -> Iterator[Bed]:
    """A bed whose pods reach an API server."""
    account = bed.folder / "account"
    files = certificate(account)
    write(account / "token", "token-of-the-pod\n")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*files)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread(server.serve_forever)
        bed.environment |= {
            "SERVICE_ACCOUNT": str(account),
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": str(server.server_port),
            "BACKUP_PARTS": "outputs,configuration",
        }
        yield bed
        server.shutdown()


def test_objects_come_back_without_what_the_cluster_put_into_them(api_server: Bed) -> None:
    assert api_server.backup()["missing"] == {}
    (found,) = api_server.run("objects", "latest")
    assert found == [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "grafana-files"}, "data": {"a": "b"}},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"ports": []}},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "redis-headless"},
            "spec": {"clusterIP": "None", "clusterIPs": ["None"]},
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "outputs", "annotations": {"orfeas.example.com/kept": "yes"}},
            "spec": {"accessModes": ["ReadWriteOnce"]},
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web", "labels": {"a": "b"}},
            "spec": {"replicas": 2},
        },
    ]


def test_secrets_are_in_a_backup_only_when_asked_for_and_are_not_printed(api_server: Bed) -> None:
    api_server.backup()
    paths = api_server.run("inspect", "latest")[0]["manifest"]["parts"]["configuration"]["paths"]
    assert set(paths) == {"objects"}
    api_server.backup(BACKUP_SECRETS="orfeas-app,not-there")
    paths = api_server.run("inspect", "latest")[0]["manifest"]["parts"]["configuration"]["paths"]
    assert set(paths) == {"objects", "secrets"}
    assert "SECRET_KEY" not in json.dumps(api_server.run("objects", "latest"))


def test_a_token_that_is_refused_is_missing_and_fails_no_backup(api_server: Bed) -> None:
    write(api_server.folder / "account/token", "another")
    missing = api_server.backup()["missing"]
    assert "403" in missing["configuration"]
    assert api_server.failed("objects", "latest")["error"].endswith("has no configuration")


def test_every_kind_is_asked_for_in_its_group() -> None:
    assert len(dict(objects.KINDS)) == 6
    assert ("apis/apps/v1", "deployments") in objects.KINDS
