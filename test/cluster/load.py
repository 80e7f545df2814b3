"""Asks for paths at steady rates, over connections that are kept, from the address of the pod that it runs in.

Arguments: the edge's address, the studio's host, its certificate (PEM), and the requests a second for each path, as a JSON object.
Goes on until standard input ends. Prints a JSON object: for each path the number of answers by status (0 where none came), and the
longest time without a good answer, in seconds.
"""
import http.client
import json
import socket
import ssl
import sys
import threading
import time

edge, host, certificate, rates = sys.argv[1:]
context = ssl.create_default_context(cadata=certificate)
ended = threading.Event()


def connect():
    connection = http.client.HTTPSConnection(host, timeout=30)
    connection.sock = context.wrap_socket(socket.create_connection((edge, 443), 10), server_hostname=host)
    return connection


class Asker(threading.Thread):
    def __init__(self, path, rate):
        super().__init__()
        self.path, self.rate = path, rate
        self.statuses, self.away_seconds = {}, 0.0
        self.connection = None

    def run(self):
        due = last_good = time.monotonic()
        while not ended.is_set():
            status = self.ask()
            now = time.monotonic()
            self.statuses[status] = self.statuses.get(status, 0) + 1
            if status == 200:
                self.away_seconds, last_good = max(self.away_seconds, now - last_good), now
            due = max(due + 1 / self.rate, now)
            time.sleep(due - now)

    def ask(self):
        kept = self.connection is not None
        try:
            self.connection = self.connection or connect()
            self.connection.request("GET", self.path)
            answer = self.connection.getresponse()
            answer.read()
            return answer.status
        except (OSError, http.client.HTTPException) as error:
            self.connection = None
            # The server may close a connection that is idle at any time: then the request was not begun, and is sent again.
            return self.ask() if kept and isinstance(error, (http.client.RemoteDisconnected, ConnectionResetError)) else 0


CONNECTIONS = 4
askers = [Asker(path, rate / CONNECTIONS) for path, rate in json.loads(rates).items() for _ in range(CONNECTIONS)]
for asker in askers:
    asker.start()
sys.stdin.read()
ended.set()
result = {}
for asker in askers:
    asker.join()
    path = result.setdefault(asker.path, {"statuses": {}, "awaySeconds": 0})
    for status, count in asker.statuses.items():
        path["statuses"][status] = path["statuses"].get(status, 0) + count
    path["awaySeconds"] = max(path["awaySeconds"], asker.away_seconds)
print(json.dumps(result))
