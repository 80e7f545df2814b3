"""
The worker, with an engine that notes what happens to it and behaves as a test wants it to.

PROBE is the folder for its notes, ENGINE its behaviour, and LEASE_SECONDS, HANG_SECONDS and TICK_SECONDS may change
what a test waits for.
"""

import fcntl
import os
import signal
import sys
import time
from pathlib import Path

import trimesh
from PIL import Image

from orfeas import engines, jobs, process
from orfeas.engines import EngineUnavailable, Progress

PROBE = Path(os.environ["PROBE"])


class ProbeEngine:
    """
    `behaviour` is one of:

    - `patient`: works until the test says `let_go`, and reports progress all the time.
    - `deaf`: does not notice that it must stop.
    - `deadly`: kills its process.
    - `clumsy`: fails in an unexpected way.
    - `leaky`: makes an open mesh.
    - `lost`: does not load.
    - `slow`: loads until the test says `let_go`.
    """

    name = "probe"

    def __init__(self, behaviour: str) -> None:
        self._behaviour = behaviour

    def load(self) -> None:
        if self._behaviour == "lost":
            raise EngineUnavailable("the weights are on holiday")
        while self._behaviour == "slow" and not (PROBE / "go").exists():
            time.sleep(0.02)

    def generate(self, picture: Image.Image, steps: int, textured: bool, progress: Progress) -> trimesh.Trimesh:
        with (PROBE / f"{picture.width}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                note("overlap", picture)
            note("begin", picture)
            self._work(progress)
            note("end", picture)
        mesh = trimesh.creation.box()
        if self._behaviour == "leaky":
            mesh.update_faces([True] * 11 + [False])
        return mesh

    def _work(self, progress: Progress) -> None:
        if self._behaviour == "deadly":
            os.kill(os.getpid(), signal.SIGKILL)
        if self._behaviour == "clumsy":
            raise RuntimeError("a detail that nobody outside may see")
        begin = time.monotonic()
        while self._behaviour != "leaky" and not (PROBE / "go").exists():
            if self._behaviour != "deaf":
                progress(min(0.9, (time.monotonic() - begin) / 10))
            time.sleep(0.02)


def note(what: str, picture: Image.Image) -> None:
    with (PROBE / "log").open("a") as log:
        log.write(f"{what} {picture.width}\n")


def main() -> int:
    settings = process.begin("worker")
    jobs.LEASE_SECONDS = float(os.environ.get("LEASE_SECONDS", jobs.LEASE_SECONDS))
    from orfeas.worker import service

    service.HANG_SECONDS = float(os.environ.get("HANG_SECONDS", service.HANG_SECONDS))
    service.TICK_SECONDS = float(os.environ.get("TICK_SECONDS", service.TICK_SECONDS))
    engines.create = lambda _: ProbeEngine(os.environ["ENGINE"])
    return service.Service(settings).run()


if __name__ == "__main__":
    sys.exit(main())
