"""The commands of the backup's pods."""

import argparse
import signal
import sys
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from orfeas_backup import backup, before_sync, events, prometheus, rekey, repository, restore, serve, verify
from orfeas_backup.failure import Failure, Terminated, of_system

EXAMPLES = """
examples:
  python3 -m orfeas_backup backup --skip-models
  python3 -m orfeas_backup list
  python3 -m orfeas_backup inspect latest
  RESTORE_ACTION=restore RESTORE_ID=20260131_120000 RESTORE_SNAPSHOT=orfeas_backup_20260131_030000 \\
    RESTORE_PARTS=outputs,redis python3 -m orfeas_backup stage
"""

TERMINATED = 128 + signal.SIGTERM


def time(text: str) -> datetime:
    """An ISO 8601 time; in UTC when it names no zone."""
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="orfeas_backup",
        description="Makes, verifies and restores backups of the studio. Standard output has one JSON document a line.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")

    def command(name: str, text: str, run: Callable[[argparse.Namespace], Any]) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(run=run)
        return added

    making = command("backup", "make a backup", lambda given: backup.make(skip_models=given.skip_models, at=given.time))
    making.add_argument("--skip-models", action="store_true", help="leave the caches of models out")
    making.add_argument("--time", type=time, metavar="ISO", help="the time that it carries; now if absent")
    command("before-sync", "have CronJob/backup make one, if the studio is there", lambda _: before_sync.run())
    command("verify", "read a sample back and restore the newest backup aside", lambda _: verify.verify())
    command("metrics-snapshot", "hold a snapshot of Prometheus until ended", lambda _: prometheus.hold())
    command("list", "all backups", lambda _: events.document(repository.listed()))
    for one in (
        command("inspect", "validate a backup", lambda given: events.document(repository.inspected(given.snapshot))),
        command(
            "objects", "the objects in a backup", lambda given: events.document(repository.objects(given.snapshot))
        ),
    ):
        one.add_argument("snapshot", help="the name of a backup, or latest")
    command("rekey", "let in the next password and shut out the previous one", lambda _: events.document(rekey.rekey()))
    command("serve", "give and take backups as zips, to whoever forwards port 8080", lambda _: serve.serve())
    command("stage", "put what is restored beside what it replaces", lambda _: restore.stage())
    command("commit", "put it in its place", lambda _: restore.commit())
    given = parser.parse_args()

    signal.signal(signal.SIGTERM, _terminate)
    try:
        given.run(given)
    except Terminated:
        return TERMINATED
    except Failure as failure:
        _tell(given.command, failure)
        return 1
    except OSError as error:
        _tell(given.command, of_system(error, given.command))
        return 1
    except Exception as error:
        traceback.print_exc()
        _tell(given.command, Failure(f"{type(error).__name__}: {error}", "report it with the log of this container"))
        return 1
    return 0


def _terminate(*_: object) -> None:
    # Once is enough: cleaning up is not cut short.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Terminated


def _tell(command: str, failure: Failure) -> None:
    """In the shape of the command's output."""
    if command in ("backup", "before-sync", "verify", "stage", "commit", "metrics-snapshot"):
        events.tell(failure.phase or command, "failed", **failure.document())
    else:
        events.document(failure.document())


if __name__ == "__main__":
    sys.exit(main())
