"""The worker's own /health and /ready, for the kubelet and for its siblings."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def serve(port: int, state: Callable[[], dict[str, Any]]) -> None:
    """Answer in the background; `state` is what /ready tells, with a key `ready`."""

    class Handler(BaseHTTPRequestHandler):
        timeout = 5

        def do_GET(self) -> None:
            if self.path == "/health":
                self._answer(200, {"status": "healthy"})
            elif self.path == "/ready":
                current = state()
                self._answer(200 if current["ready"] else 503, current)
            else:
                self._answer(404, {"error": {"code": "not_found", "message": "There are /health and /ready."}})

        def _answer(self, status: int, body: dict[str, Any]) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Probes are no news."""

    server = ThreadingHTTPServer(("0.0.0.0", port), Handler)
    threading.Thread(target=server.serve_forever, name="probes", daemon=True).start()
