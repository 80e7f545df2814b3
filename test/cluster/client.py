"""Sends one request several times at once, from the address of the pod that it runs in.

Arguments: the edge's address, the studio's host, its certificate (PEM), the method, the path, how often, and further
headers as a JSON object, where {n} is the request's number. Standard input is a picture for POST /api/generate-3d.
Prints a JSON list of {status, headers, body}, with headers as they came, in pairs; a status of 0 means that no answer came.
"""
import http.client
import json
import socket
import ssl
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

edge, host, certificate, method, path, count, further = sys.argv[1:]
picture = sys.stdin.buffer.read()
context = ssl.create_default_context(cadata=certificate)
boundary = "orfeas-boundary"
head = f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="picture"\r\n\r\n'
body = head.encode() + picture + f"\r\n--{boundary}--\r\n".encode() if picture else None
headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"} if picture else {}
headers |= json.loads(further)


def send(number):
    try:
        connection = http.client.HTTPSConnection(host, timeout=60)
        connection.sock = context.wrap_socket(socket.create_connection((edge, 443), 30), server_hostname=host)
        # Who is refused before all was sent may be hung up on, and reads the answer all the same.
        with suppress(OSError):
            connection.request(method, path, body, {name: value.replace("{n}", str(number)) for name, value in headers.items()})
        answer = connection.getresponse()
        return {"status": answer.status, "headers": answer.getheaders(), "body": answer.read().decode(errors="replace")}
    except (OSError, http.client.HTTPException) as error:
        return {"status": 0, "headers": [], "body": repr(error)}


with ThreadPoolExecutor(int(count)) as pool:
    print(json.dumps(list(pool.map(send, range(int(count))))))
