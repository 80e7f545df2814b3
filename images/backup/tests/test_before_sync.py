"""A backup before a sync, from a stand-in for the API server."""

from typing import Any

import pytest

from orfeas_backup import before_sync, objects
from orfeas_backup.failure import Failure

CRON_JOB = {
    "metadata": {"name": "backup", "uid": "1"},
    "spec": {"jobTemplate": {"metadata": {"labels": {"a": "b"}}, "spec": {"backoffLimit": 2}}},
}


class Cluster:
    """What is there, by the end of its path; how the Job that is made goes on, one condition a look."""

    def __init__(self, there: dict[str, Any], conditions: list[str]) -> None:
        self.there = there
        self.conditions = conditions
        self.made: list[dict[str, Any]] = []

    def get(self, path: str, missing: dict[str, Any] | None = None) -> dict[str, Any]:
        kind, name = path.split("/")[-2:]
        if kind == "jobs":
            condition = self.conditions.pop(0)
            return {"status": {"conditions": [{"type": condition, "status": "True"}]} if condition else {}}
        found = self.there.get(f"{kind}/{name}", missing)
        assert found is not None
        return found

    def create(self, path: str, item: dict[str, Any]) -> dict[str, Any]:
        assert path == "apis/batch/v1/namespaces/orfeas/jobs"
        self.made.append(item)
        return item


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:
    def run(there: dict[str, Any], *conditions: str) -> list[dict[str, Any]]:
        cluster = Cluster(there, list(conditions))
        monkeypatch.setenv("NAMESPACE", "orfeas")
        monkeypatch.setattr(before_sync, "POLL_SECONDS", 0)
        monkeypatch.setattr(objects, "get", cluster.get)
        monkeypatch.setattr(objects, "create", cluster.create)
        before_sync.run()
        return cluster.made

    return run


STUDIO = {"deployments/backend": {"kind": "Deployment"}, "cronjobs/backup": CRON_JOB}


@pytest.mark.parametrize("lacking", STUDIO)
def test_a_studio_that_is_not_there_yet_has_nothing_to_back_up(run: Any, lacking: str) -> None:
    assert run({name: found for name, found in STUDIO.items() if name != lacking}) == []


def test_the_job_is_what_kubectl_makes_of_the_cron_job(run: Any) -> None:
    (job,) = run(STUDIO, "", "SuccessCriteriaMet", "Complete")
    assert job["spec"] == {"backoffLimit": 2}
    assert job["metadata"]["labels"] == {"a": "b"}
    assert job["metadata"]["annotations"] == {"cronjob.kubernetes.io/instantiate": "manual"}
    (owner,) = job["metadata"]["ownerReferences"]
    assert owner == {"apiVersion": "batch/v1", "kind": "CronJob", "name": "backup", "uid": "1", "controller": True}


def test_a_backup_that_fails_is_told(run: Any) -> None:
    with pytest.raises(Failure, match="nothing is changed"):
        run(STUDIO, "", "Failed")
