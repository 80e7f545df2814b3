"""Events about jobs, which the worker publishes and the Socket.IO server passes on to the job's room."""

CHANNEL = "orfeas:events"
ENDED = ("completed", "failed")


def name(status: str) -> str:
    """The event that tells of a job's status."""
    return f"job_{status}" if status in ENDED else "job_progress"
