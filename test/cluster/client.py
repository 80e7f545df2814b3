"""Sends one request several times at once, from the address of the pod that it runs in.

Arguments: the edge's address, the studio's host, its certificate (PEM), the method, the path, and how often.
Standard input is a picture for POST /api/generate-3d. Prints a JSON list of {status, headers, body};
a status of 0 means that no answer came.
"""
import http.client
import json
import socket
import ssl
import sys
from concurrent.futures import ThreadPoolExecutor

edge, host, certificate, method, path, count = sys.argv[1:]
picture = sys.stdin.buffer.read()
context = ssl.create_default_context(cadata=certificate)
boundary = "orfeas-boundary"
head = f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="picture"\r\n\r\n'
body = head.encode() + picture + f"\r\n--{boundary}--\r\n".encode() if picture else None
headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"} if picture else {}


def send(_):
    try:
        connection = http.client.HTTPSConnection(host, timeout=60)
        connection.sock = context.wrap_socket(socket.create_connection((edge, 443), 30), server_hostname=host)
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return {"status": answer.status, "headers": dict(answer.getheaders()), "body": answer.read().decode(errors="replace")}
    except (OSError, http.client.HTTPException) as error:
        return {"status": 0, "headers": {}, "body": repr(error)}


with ThreadPoolExecutor(int(count)) as pool:
    print(json.dumps(list(pool.map(send, range(int(count))))))
