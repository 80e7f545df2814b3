import sys

from orfeas import process

settings = process.begin("worker")

from orfeas.worker.service import Service  # noqa: E402 - its metrics open files of the process that has begun

sys.exit(Service(settings).run())
