"""Has a backup made before a studio changes."""

import time
from datetime import UTC, datetime
from typing import Any

from orfeas_backup import events, objects, settings
from orfeas_backup.failure import Failure

POLL_SECONDS = 2


def run() -> None:
    """Raises Failure when there is no backup then. A studio that is not there yet has nothing to back up."""
    namespace = settings.get("NAMESPACE")
    backend = objects.get(f"apis/apps/v1/namespaces/{namespace}/deployments/backend", missing={})
    cron_job = objects.get(f"apis/batch/v1/namespaces/{namespace}/cronjobs/backup", missing={})
    if not backend or not cron_job:
        events.tell("before-sync", "skipped")
        return
    with events.phase("before-sync") as done:
        jobs = f"apis/batch/v1/namespaces/{namespace}/jobs"
        name = objects.create(jobs, _job(cron_job))["metadata"]["name"]
        done["job"] = name
        while not (ended := _ended(objects.get(f"{jobs}/{name}"))):
            time.sleep(POLL_SECONDS)
        if ended != "Complete":
            raise Failure(
                "the backup failed, so nothing is changed",
                f"look at its log: kubectl -n {namespace} logs job/{name} -c archive",
            )


def _job(cron_job: dict[str, Any]) -> dict[str, Any]:
    """As `kubectl create job --from=cronjob/backup` makes it: the CronJob removes it in time."""
    template, metadata = cron_job["spec"]["jobTemplate"], cron_job["metadata"]
    owner = {"apiVersion": "batch/v1", "kind": "CronJob", "name": metadata["name"], "uid": metadata["uid"]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": f"{metadata['name']}-{datetime.now(UTC):%Y%m%d%H%M%S}",
            "labels": template["metadata"]["labels"],
            "annotations": {"cronjob.kubernetes.io/instantiate": "manual"},
            "ownerReferences": [{**owner, "controller": True}],
        },
        "spec": template["spec"],
    }


def _ended(job: dict[str, Any]) -> str:
    """The condition that ended it; none while it runs."""
    met = {one["type"] for one in job.get("status", {}).get("conditions", []) if one["status"] == "True"}
    return next((condition for condition in ("Complete", "Failed") if condition in met), "")
