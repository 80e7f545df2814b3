"""
Waits, before a process of the API stops, until the pod is forgotten as one that is there, and until its worker has ended.

The worker finishes its jobs first, which takes as long as a job does. People go on sending pictures and asking for the state of
theirs meanwhile. Run as `python -m orfeas.outlast SECONDS`, with the seconds that it takes to be forgotten.
"""

import socket
import sys
import time

from orfeas import settings

POLL_SECONDS = 0.5


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    except TimeoutError:
        pass
    return True


time.sleep(float(sys.argv[1]))
worker_port = settings.load().worker_port
while listens(worker_port):
    time.sleep(POLL_SECONDS)
