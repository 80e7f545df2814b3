#!/usr/bin/env python3
"""
Sends malformed requests and malformed pictures to a studio, and says what it made of them.

    bench/fuzz.py --url http://127.0.0.1:5000 --requests 10000 --pictures 1000 --seed 1

The same seed sends the same bytes in the same order, whoever answers. Each comes from another client address, as
X-Forwarded-For tells it, so that no limit keeps them out: use an address where that is believed (web's or the backend's
own). Prints a JSON object on standard output: how often each answer came (a status, `closed` for none, or `code` of an
error), and `faults`, the first of those that must not be: a status of 500 or more without an error's code (but for 501, of an
encoding that nobody knows), and a studio that does not answer a good request after it. Exits with 1 if there is one. Needs Python alone.
"""

import argparse
import base64
import collections
import concurrent.futures
import json
import random
import socket
import struct
import sys
import threading
import time
import urllib.parse
import zlib

ANSWER_SECONDS = 60
QUIET_SECONDS = 0.5
PATHS = ("/", "/api/generate-3d", "/api/job-status/", "/outputs/", "/socket.io/?EIO=4&transport=polling", "/health", "/ready", "/x")
METHODS = ("GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "get", "X" * 300, "G\0T", "")
VERSIONS = ("HTTP/1.1", "HTTP/1.0", "HTTP/0.9", "HTTP/2.0", "HTTP/1.1 ", "http/1.1", "HTTP/", "", "HTTP/1.11111111111111111111")
SEGMENTS = (
    "..", "%2e%2e", "..%2f", "%252e%252e%252f", "..\\", "%00", "%0d%0aX-Evil:%20yes", "%", "%zz", "%c0%ae%c0%ae", "%ff%fe", "{{7*7}}",
    "' OR 1=1--", "$(id)", "a" * 5000, "etc/passwd", "\x01", "é", "?", "#", "//", ";", "%u002e", "0" * 32, "-1", "~root",
)
HEADERS = (
    "Content-Length: 5", "Content-Length: -1", "Content-Length: 99999999999999999999", "Content-Length: 0x10", "Content-Length:",
    "Transfer-Encoding: chunked", "Transfer-Encoding: xchunked", "Transfer-Encoding : chunked", "Transfer-Encoding:\x0bchunked",
    "Transfer-Encoding: gzip, chunked", " folded: line", "\tfolded", "No-Colon", ": no name", "N\0L: x", "X: \0", "X: \xff\xfe", "X: a\rb",
    "Host: other", "Host: a/b@c", "Connection: close, Host", "Connection: Upgrade\r\nUpgrade: websocket", "Upgrade: h2c", "Expect: 100-continue",
    "Expect: nonsense", "Range: bytes=-1-,9999-", "Range: bytes=" + "0-1," * 500, "If-None-Match: \"", "Cookie: " + "a=b;" * 800,
    "Cookie: session=eyJhIjoxfQ.x.y", "Authorization: Bearer \xff", "Authorization: Basic ===", "Content-Type: multipart/form-data",
    "Content-Type: multipart/form-data; boundary=" + "b" * 300, "Content-Type: multipart/form-data; boundary=\"", "Content-Type: \xff/\x00",
    "Content-Type: application/json; charset=utf-99", "Content-Encoding: gzip", "Origin: null", "Origin: \x00", "X-Forwarded-Proto: \xff",
    "X-Request-ID: a\tb", "Accept-Encoding: " + "gzip;q=9," * 200, "Sec-WebSocket-Key: x", "X-HTTP-Method-Override: DELETE", "Date: never",
)
TINY_JPEG = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABsSFBcUERsXFhceHBsgKEIrKCUlKFE6PTBCYFVlZF9VXVtqeJmBanGQc1tdhbWGkJ6jq62rZ4C8ybqmx5mo"
    "q6T/2wBDARweHigjKE4rK06kbl1upKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKT/wgARCAAQABADASIAAhEB"
    "AxEB/8QAFgABAQEAAAAAAAAAAAAAAAAAAgAE/8QAFQEBAQAAAAAAAAAAAAAAAAAAAgP/2gAMAwEAAhADEAAAAdhiaf/EABgQAQEBAQEAAAAAAAAAAAAA"
    "AAMBEgAC/9oACAEBAAEFAkTPGmqvjXEdl//EABYRAAMAAAAAAAAAAAAAAAAAAAASIv/aAAgBAwEBPwGVP//EABYRAAMAAAAAAAAAAAAAAAAAAAARIf/a"
    "AAgBAgEBPwGs/8QAFxAAAwEAAAAAAAAAAAAAAAAAAAERYf/aAAgBAQAGPwLSMqKz/8QAGRAAAwEBAQAAAAAAAAAAAAAAAAERMSFB/9oACAEBAAE/IcqV"
    "Y4jH5BsaLkMXzEf/2gAMAwEAAgADAAAAEAP/xAAWEQEBAQAAAAAAAAAAAAAAAAABAHH/2gAIAQMBAT8QDS//xAAUEQEAAAAAAAAAAAAAAAAAAAAA/9oA"
    "CAECAQE/EB//xAAaEAEAAwEBAQAAAAAAAAAAAAABACExEUFh/9oACAEBAAE/EOENavAj8ouhT8j9sul6TSPAj2tn/9k="
)
TINY_WEBP = base64.b64decode(
    "UklGRnIAAABXRUJQVlA4IGYAAABwAgCdASoQABAABUB8JbACdAYsPnM865uEG4AAAP7x4Kg7hT2MspQYO56KXR8Z2p8HYP/V+yTjEOF9NdmWOuBSKCxT"
    "L64M90jxXDhBjpr1Awds0HoxS1BCKvrth1ZMUoIU0MMSAAA="
)
INTERESTING = (0, 1, 0x7F, 0x80, 0xFF)


class Source(random.Random):
    """All that is drawn by chance."""

    def request(self) -> bytes:
        """A request that is wrong somewhere, mostly in more than one place."""
        path = self.choice(PATHS)
        for _ in range(self.choice((0, 0, 1, 1, 2, 6))):
            path += self.choice(("", "/", "?", "&")) + self.choice(SEGMENTS)
        method = self.choice(METHODS) if self.random() < 0.3 else self.choice(METHODS[:2])
        version = self.choice(VERSIONS) if self.random() < 0.2 else "HTTP/1.1"
        host = [] if self.random() < 0.1 else ["Host: studio.localhost"]
        wrong = self.choices(HEADERS, k=self.choice((0, 1, 1, 2, 3, 8)))
        lines = [f"{method} {path} {version}", *host, *wrong, f"X-Forwarded-For: {self.client()}"]
        if self.random() < 0.9:
            lines.append("Connection: close")
        end = self.choice(("\n", "\r", "\n\r")) if self.random() < 0.05 else "\r\n"
        body = self.body()
        if body and self.random() < 0.7:
            lines.append(f"Content-Length: {len(body) + self.choice((0, 0, 0, 0, -1, 1))}")
        request = (end.join(lines) + end * 2).encode("latin-1") + body
        if self.random() < 0.2:
            request = self.damaged(request)
        if self.random() < 0.1:
            request = request[: self.randrange(len(request) + 1)]
        return request

    def body(self) -> bytes:
        kind = self.randrange(6)
        if kind == 0:
            return self.randbytes(self.randrange(2000))
        if kind == 1:
            return b"0\r\n\r\nGET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
        if kind == 2:
            return self.choice((b"ffffffffffffffff\r\nx", b"-1\r\nx\r\n", b"3;x=\n\r\nabc\r\n0\r\n\r\n", b"3\r\nabcd\r\n0\r\n\r\n"))
        if kind == 3:
            return self.damaged(form(self.randbytes(20), b"b"))
        if kind == 4:
            return self.choice((b"{", b"[" * 5000, b'{"a":' * 500, b"42[" + b"[" * 900, b"\x1e" * 500, b"4" * 900, b"b" * 900))
        return b""

    def picture(self) -> bytes:
        """A picture that is wrong somewhere, and still looks like one."""
        side = self.choice((1, 2, 7, 16, 33))
        picture = self.choice((png(self, side), TINY_JPEG, TINY_WEBP))
        kind = self.randrange(7)
        if kind == 0:
            return picture[: self.randrange(1, len(picture))]
        if kind == 1:
            return picture + self.randbytes(self.randrange(1, 500))
        if kind == 2:
            at = self.randrange(len(picture))
            return picture[:at] + self.randbytes(self.randrange(1, 50)) + picture[at:]
        if kind == 3:
            return png_with(self)
        if kind == 4:
            return b"\xff\xd8\xff\xe1" + struct.pack(">H", 60) + b"Exif\0\0" + self.randbytes(52) + TINY_JPEG[2:]
        return self.damaged(picture)

    def damaged(self, content: bytes) -> bytes:
        """The content with some bytes changed."""
        changed = bytearray(content)
        for _ in range(self.choice((1, 1, 2, 4, 16))):
            at = self.randrange(len(changed))
            changed[at] = self.choice(INTERESTING) if self.random() < 0.5 else self.randrange(256)
        return bytes(changed)

    def client(self) -> str:
        """An address of 2001:db8::/32, which is nobody's."""
        return f"2001:db8::{self.getrandbits(16):x}:{self.getrandbits(16):x}"


def chunk(kind: bytes, content: bytes, checksum: bool = True) -> bytes:
    check = zlib.crc32(kind + content) if checksum else 0
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)


def png(source: Source, side: int) -> bytes:
    rows = b"".join(b"\0" + source.randbytes(3 * side) for _ in range(side))
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def png_with(source: Source) -> bytes:
    """A PNG that promises what it does not keep: sizes, depths, types, and chunks of any kind, with right checksums."""
    sides = (0, 1, 16, 4096, 4097, 65535, 2**31 - 1, 2**32 - 1)
    header = struct.pack(
        ">IIBBBBB", source.choice(sides), source.choice(sides), source.choice((1, 2, 4, 8, 16, 3, 255)), source.choice((0, 2, 3, 4, 6, 1)),
        source.choice((0, 0, 1)), source.choice((0, 0, 9)), source.choice((0, 1, 2)),
    )
    chunks = [chunk(b"IHDR", header)]
    for _ in range(source.randrange(5)):
        kind = source.choice((b"PLTE", b"tRNS", b"iCCP", b"zTXt", b"iTXt", b"eXIf", b"acTL", b"fcTL", b"fdAT", b"gAMA", b"cHRM", b"pHYs", b"abcd"))
        content = source.choice((b"", source.randbytes(source.randrange(40)), b"a\0\0" + zlib.compress(bytes(10**6)), b"a\0\0" + zlib.compress(b"x")[:-3]))
        chunks.append(chunk(kind, content, source.random() < 0.9))
    chunks.append(chunk(b"IDAT", zlib.compress(bytes(source.choice((0, 10, 10_000, 5_000_000))))))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + (chunk(b"IEND", b"") if source.random() < 0.8 else b"")


def form(picture: bytes, boundary: bytes) -> bytes:
    head = b'--%b\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n' % boundary
    return head + picture + b"\r\n--%b--\r\n" % boundary


def upload(source: Source) -> bytes:
    """A good request with a bad picture."""
    boundary = b"fuzz%032x" % source.getrandbits(128)
    body = form(source.picture(), boundary)
    head = (
        f"POST /api/generate-3d HTTP/1.1\r\nHost: studio.localhost\r\nX-Forwarded-For: {source.client()}\r\n"
        f"Content-Type: multipart/form-data; boundary={boundary.decode()}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


def exchange(address: tuple[str, int], request: bytes) -> bytes:
    """All that comes back. Who waits for more than was sent is told after a while that no more comes."""
    answer = b""
    with socket.create_connection(address, ANSWER_SECONDS) as connection:
        try:
            connection.sendall(request)
            connection.settimeout(QUIET_SECONDS)
            while True:
                try:
                    part = connection.recv(65536)
                except TimeoutError:
                    if connection.gettimeout() == ANSWER_SECONDS:
                        raise
                    connection.shutdown(socket.SHUT_WR)
                    connection.settimeout(ANSWER_SECONDS)
                    continue
                if not part:
                    break
                answer += part
        except ConnectionError:
            pass  # as good as an end: it was refused before it was read
    return answer


def outcome(answer: bytes) -> tuple[str, str | None]:
    """What an answer counts as, and what is wrong with it. Its first part alone: more than one request may have been read."""
    if not answer:
        return "closed", None
    head, _, body = answer.partition(b"\r\n\r\n")
    words = head.split(b"\r\n")[0].split()
    if not words[0].startswith(b"HTTP/") or len(words) < 2 or not words[1].isdigit():
        return "HTTP/0.9", None
    status = int(words[1])
    try:
        code = json.JSONDecoder().raw_decode(body.decode(errors="replace").lstrip("0123456789abcdef\r\n"))[0]["error"]["code"]
    except (ValueError, TypeError, LookupError):
        code = None
    # A studio that is not ready says so, which is no error; Gunicorn itself refuses encodings with 501.
    if status >= 500 and status != 501 and code is None and b'"ready"' not in body:
        return str(status), f"{status} without a code"
    return f"{status} {code}" if code else str(status), None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True, help="such as http://127.0.0.1:5000")
    parser.add_argument("--requests", type=int, default=10_000, help="malformed requests to send (10000)")
    parser.add_argument("--pictures", type=int, default=1_000, help="malformed pictures to send (1000)")
    parser.add_argument("--seed", type=int, default=1, help="what decides all bytes (1)")
    parser.add_argument("--connections", type=int, default=16, help="connections at once (16)")
    options = parser.parse_args()
    url = urllib.parse.urlsplit(options.url)
    address = (url.hostname or "", url.port or 80)
    source = Source(options.seed)
    sent = [("requests", source.request()) for _ in range(options.requests)]
    sent += [("pictures", upload(source)) for _ in range(options.pictures)]
    good = b"GET /health HTTP/1.1\r\nHost: studio.localhost\r\nConnection: close\r\n\r\n"
    found: dict[str, collections.Counter[str]] = {"requests": collections.Counter(), "pictures": collections.Counter()}
    faults: list[dict[str, str]] = []
    lock = threading.Lock()

    def send(number: int) -> None:
        kind, request = sent[number]
        try:
            counted, wrong = outcome(exchange(address, request))
            if number % 100 == 99 and not exchange(address, good).startswith(b"HTTP/1.1 200"):
                wrong = "the studio is not healthy any more"
        except OSError as error:
            counted, wrong = "none", repr(error)
        with lock:
            found[kind][counted] += 1
            if wrong:
                faults.append({"number": str(number), "fault": wrong, "request": request[:300].decode("latin-1")})

    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(options.connections) as pool:
        list(pool.map(send, range(len(sent))))
    answers = {kind: dict(counter.most_common()) for kind, counter in found.items()}
    result = {"seed": options.seed, "seconds": round(time.monotonic() - began, 1), **answers, "faults": faults[:20]}
    json.dump(result, sys.stdout, indent=1)
    print()
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
