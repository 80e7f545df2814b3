"""The namespace's objects, without what the cluster itself puts into them."""

import json
import os
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from orfeas_backup.failure import Failure

ACCOUNT = Path(os.environ.get("SERVICE_ACCOUNT", "/var/run/secrets/kubernetes.io/serviceaccount"))
REQUEST_SECONDS = 30

KINDS = (
    ("api/v1", "configmaps"),
    ("api/v1", "services"),
    ("api/v1", "persistentvolumeclaims"),
    ("api/v1", "resourcequotas"),
    ("api/v1", "limitranges"),
    ("api/v1", "serviceaccounts"),
    ("apis/apps/v1", "deployments"),
    ("apis/apps/v1", "statefulsets"),
    ("apis/batch/v1", "cronjobs"),
    ("apis/networking.k8s.io/v1", "ingresses"),
    ("apis/networking.k8s.io/v1", "networkpolicies"),
    ("apis/policy/v1", "poddisruptionbudgets"),
    ("apis/rbac.authorization.k8s.io/v1", "roles"),
    ("apis/rbac.authorization.k8s.io/v1", "rolebindings"),
)

OF_THE_CLUSTER = {("ConfigMap", "kube-root-ca.crt"), ("ServiceAccount", "default")}
"""Every namespace has them by itself."""
METADATA = ("name", "namespace", "labels", "annotations", "finalizers")
"""What an object's maker wrote there."""
ANNOTATIONS = (
    "kubectl.kubernetes.io/last-applied-configuration",
    "deployment.kubernetes.io/",
    "pv.kubernetes.io/",
    "volume.kubernetes.io/",
    "volume.beta.kubernetes.io/",
)
"""Those of the cluster, or what they begin with."""
ASSIGNED = {
    "Service": ("clusterIP", "clusterIPs", "healthCheckNodePort"),
    "PersistentVolumeClaim": ("volumeName",),
}
"""Fields of a spec that another cluster assigns anew."""


def listed(namespace: str) -> list[dict[str, Any]]:
    """Objects as they can be applied, by kind and name. Raises Failure."""
    found: list[dict[str, Any]] = []
    for group, kind in KINDS:
        answer = get(f"{group}/namespaces/{namespace}/{kind}")
        of = {"apiVersion": answer["apiVersion"], "kind": answer["kind"].removesuffix("List")}
        found += [bare({**of, **item}) for item in answer["items"] if _is_ours(of["kind"], item["metadata"])]
    return found


def secrets(namespace: str, names: list[str]) -> list[dict[str, Any]]:
    """The Secrets of these names, those that are not there left out. Raises Failure."""
    found = (get(f"api/v1/namespaces/{namespace}/secrets/{name}", missing={}) for name in names)
    return [bare(secret) for secret in found if secret]


def bare(item: dict[str, Any]) -> dict[str, Any]:
    """An object without its state and what identifies it in this cluster."""
    metadata = {key: value for key, value in item["metadata"].items() if key in METADATA}
    if annotations := metadata.pop("annotations", None):
        kept = {key: value for key, value in annotations.items() if not key.startswith(ANNOTATIONS)}
        metadata |= {"annotations": kept} if kept else {}
    if finalizers := metadata.pop("finalizers", None):
        kept_finalizers = [name for name in finalizers if not name.startswith("kubernetes.io/")]
        metadata |= {"finalizers": kept_finalizers} if kept_finalizers else {}
    result = {**item, "metadata": metadata}
    result.pop("status", None)
    if result["kind"] == "ServiceAccount":
        result.pop("secrets", None)
    headless = item.get("spec", {}).get("clusterIP") == "None"
    if (assigned := ASSIGNED.get(result["kind"])) and not headless:
        result["spec"] = {key: value for key, value in result["spec"].items() if key not in assigned}
    return result


def _is_ours(kind: str, metadata: dict[str, Any]) -> bool:
    return not metadata.get("ownerReferences") and (kind, metadata["name"]) not in OF_THE_CLUSTER


def get(path: str, missing: dict[str, Any] | None = None) -> dict[str, Any]:
    """The answer of the API server; `missing`, when given, stands for what is not there. Raises Failure."""
    return _ask(path, missing=missing)


def create(path: str, item: dict[str, Any]) -> dict[str, Any]:
    """The object as the API server made it. Raises Failure."""
    return _ask(path, body=item)


def _ask(path: str, *, body: dict[str, Any] | None = None, missing: dict[str, Any] | None = None) -> dict[str, Any]:
    url = f"https://{_host()}/{path}"
    try:
        token = (ACCOUNT / "token").read_text().strip()
        context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        request = urllib.request.Request(url, headers=headers, data=body and json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=REQUEST_SECONDS, context=context) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        if error.code == 404 and missing is not None:
            return missing
        raise _failure(path, f"{error.code} {error.reason}") from error
    except (OSError, ValueError) as error:
        raise _failure(path, str(error)) from error


def _failure(path: str, reason: str) -> Failure:
    return Failure(f"the API server did not give {path}: {reason}", "look at the pod's Role and network.apiServer")


def _host() -> str:
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST", ""), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
