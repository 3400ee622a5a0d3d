"""A thousand requests that no honest client sends, of many kinds, drawn by a seeded generator: no
error of the server's own, nothing that grows, and an honest request is answered as before."""

import json
import os
import random
import re
import select
import socket
import struct
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from serving import serving, until
from test_damage import PICTURES, damaged

pytestmark = pytest.mark.slow

JUMPING = (Path(__file__).parent / "pictures" / "jumping.jpg").read_bytes()
REQUESTS, WARM_UP = 1000, 500
SECONDS, CONNECTIONS = 2.0, 100
# The same limits as elsewhere, but sooner reached.
BEFORE = f"""
from functools import partial
from hrnet.server import app, limits, running
limits.Limits = partial(limits.Limits, seconds={SECONDS})
running.HEADER_SECONDS = running.WRITE_SECONDS = app._Unread.SECONDS = {SECONDS}
running.CONNECTIONS = {CONNECTIONS}
"""
TYPES = "image/jpeg", "text/html", "application/json", "image/svg+xml", "", "multipart/form-data"
EXPECTED = {200, 400, 403, 404, 405, 408, 413, 426, 503}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    limits = ["--max-pixels", 1_000_000, "--max-bytes", 2_000_000]
    with serving(folder, *limits, before=BEFORE, MALLOC_ARENA_MAX="1") as server:
        yield server


def opened(server):
    client = socket.create_connection(("127.0.0.1", server.port))
    client.settimeout(60)
    return client


def received(client):
    """All until the server closes, which it may do before it has read everything."""
    answer = b""
    with suppress(ConnectionError):
        while part := client.recv(1 << 16):
            answer += part
    return answer


def exchange(server, *parts):
    """The answer to what is sent in these parts."""
    with opened(server) as client:
        with suppress(ConnectionError):  # it has seen enough
            for part in parts:
                client.sendall(part)
        return received(client)


def request(body=b"", head=(), target="/predict", method="POST", length=None):
    length = len(body) if length is None else length
    lines = [f"{method} {target} HTTP/1.1", "Host: h", "Connection: close", *head]
    return "\r\n".join([*lines, f"Content-Length: {length}", "", ""]).encode("latin-1") + body


def form(rng, fields, boundary="b"):
    """A form's body; a field is its disposition's end, and its content."""
    body = b"".join(
        b"--b\r\nContent-Disposition: form-data; " + said + b"\r\n\r\n" + content + b"\r\n"
        for said, content in fields
    )
    kind = f"Content-Type: multipart/form-data; boundary={boundary}"
    return request(body + rng.choice([b"--b--\r\n", b"--b--\r\n", b"", b"--b"]), [kind])


# Each kind: what is done, by a random generator; it gives what came back, or None.


def cut_off(rng, server):
    whole = rng.choice([JUMPING, *PICTURES.values()])
    length = rng.choice([0, 1, 2, 4, 8, 16, 32, 64, 128, len(whole) // 2, len(whole) - 1])
    return exchange(server, request(whole[:length], [f"Content-Type: {rng.choice(TYPES)}"]))


def broken(rng, server):
    own = np.random.default_rng(rng.randrange(1 << 32))
    body = damaged(rng.choice(list(PICTURES.values())), list(PICTURES.values()), own)
    options = rng.choice(["", "?detector=whole", "?detector=whole&answer=image"])
    return exchange(server, request(body, target=f"/predict{options}"))


def mislabelled(rng, server):
    body = rng.choice([b"\0" * rng.randrange(5000), rng.randbytes(rng.randrange(5000)), JUMPING])
    kind = f"Content-Type: {rng.choice(TYPES)}{rng.choice(['', '; charset=utf-7', ';;', ' '])}"
    encoding = rng.choice([[], ["Content-Encoding: gzip"], ["Content-Encoding: nonsense"]])
    return exchange(server, request(body, [kind, *encoding]))


def png(width, height, inflated, kind=2):
    parts = [b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)]
    parts += [b"IDAT" + zlib.compress(bytes(inflated), 9), b"IEND"]
    packed = (len(p[4:]).to_bytes(4) + p + zlib.crc32(p).to_bytes(4) for p in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def declaring(name, width, height):
    """A picture that says of itself to be so large."""
    data = bytearray(PICTURES[name])
    small = min(width, 65535), min(height, 65535)
    if name == "jpg":
        at = next(m.start() for m in re.finditer(rb"\xff[\xc0\xc2]\x00\x11\x08", data))
        struct.pack_into(">HH", data, at + 5, *small[::-1])
    elif name == "png":
        return png(width, height, 1000)
    elif name == "gif":
        struct.pack_into("<HH", data, 6, *small)
    elif name == "bmp":
        struct.pack_into("<ii", data, 18, width, height)
    elif name == "ppm":
        return bytes(data).replace(b"32 24", f"{width} {height}".encode())
    elif name == "tif":
        for tag, value in ((256, width), (257, height)):
            at = re.search(
                re.escape(struct.pack("<H", tag)) + rb"[\x03\x04]\0\x01\0\0\0", data
            ).start()
            struct.pack_into("<HHII", data, at, tag, 4, 1, value)
    elif name == "webp":
        data[12:16] = b"VP8X"
        data[24:30] = (width & 0xFFFFFF).to_bytes(3, "little") + (height & 0xFFFFFF).to_bytes(
            3, "little"
        )
    return bytes(data)


BOMB = png(10, 10, 50_000_000)  # 50 kB, of which 50 MB come; a tenth of a kB is declared
FLAT = png(1000, 1000, 3_001_000)


def bomb(rng, server):
    name = rng.choice(["jpg", "png", "gif", "bmp", "ppm", "tif", "webp"])
    sides = [rng.choice([1, 2000, 65535, 1 << 20, (1 << 31) - 1]) for _ in range(2)]
    body = rng.choice([declaring(name, *sides)] * 8 + [BOMB, FLAT])
    return exchange(server, request(body, target="/predict?detector=whole"))


BOXES = (
    "NaN", "[NaN]", "[[NaN, 0, 1, 1]]", "[[0, 0, Infinity, 1]]", "[[0, 0, -Infinity, 1]]",
    "[[1e400, 0, 1, 1]]", "[[0, 0, 1e-300, 1]]", "[[-9e6, -9e6, 9e6, 9e6]]", "[[0, 0, 9e6, 0.01]]",
    "[[1, 2, 3]]", "[[1, 2, 3, 4], [5]]", "[[]]", "[]", "{}", "null", "true", '"x"', '["x"]', "",
    '[["a", "b", "c", "d"]]', "[[{}, {}, {}, {}]]", "[[null, 0, 1, 1]]", "[[9, 9, 1, 1]]",
    "[[1000000, 0, 1000009, 9]]", "[[0, 0, 9, 9, NaN]]", "[[0, 0, 9, 9, 7]]", "[[0, 0, 9, 9",
    "[" * 100_000, "[" * 100_000 + "]" * 100_000, '{"a":' * 100_000, f"[[{'9' * 4000}, 0, 1, 1]]",
    f"[[{'9' * 5000}, 0, 1, 1]]", str([[0, 0, 9, 9]] * 60_000), "[" + "[]," * 300_000 + "[]]",
    str([[0, 0, 9, 9]] * 1_000_000), '"\\ud800"', "\\", "\0", "[[0, 0, 9, 9]]" * 2,
)  # fmt: skip


def wrong_boxes(rng, server):
    boxes = rng.choice(BOXES).encode()
    fields = [(b'name="boxes"', boxes), (b'name="picture"; filename="a.jpg"', PICTURES["jpg"])]
    rng.shuffle(fields)
    return exchange(server, form(rng, fields))


def wrong_options(rng, server):
    name = rng.choice(["model", "detector", "boxes", "answer", "threshold", "name", "x", "%ff", ""])
    values = (
        "", "%00", "%0a%1b[31m", "%ff%fe", "%ed%a0%80", "%", "%zz", "nan", "1e400", "-1",
        "a" * 999, "../../etc/passwd", "http://127.0.0.1/", "%25s%25n", "{}", "[]", "whole",
        "image",
    )  # fmt: skip
    value = rng.choice(values)
    target = f"/predict?{name}={value}{rng.choice(['', '&', '&detector=whole', '?', ';', '#'])}"
    return exchange(server, request(PICTURES["jpg"], target=target))


def wrong_form(rng, server):
    names = (
        b'name="picture"; filename="../../etc/passwd"', b'name="picture"; filename="a\0b"',
        b'name="picture"; filename="\xff\xfe\xed\xa0\x80"', b'name="picture"; filename=""',
        b"name=\"picture\"; filename*=utf-8''%ff%00", b'name="picture"; filename="' + b"a" * 5000,
        b'name="picture"', b'name=""; filename="a"', b'name="pic\0ture"; filename="a"', b"",
        b"name", b'name="model"', b'name="boxes"', b'name="\xff"', b'name="x"\r\nX: ' + b"y" * 9000,
        b'name="picture"; filename="a"\r\nContent-Transfer-Encoding: base64',
    )  # fmt: skip
    count = rng.choice([1, 1, 2, 3, 8, 300])
    fields = [(rng.choice(names), PICTURES["jpg"][: rng.randrange(900)]) for _ in range(count)]
    boundarys = (
        "b", "b", "b", "b", '"b"', "c", "", '""', "b" * 300, "b; charset=utf-7",
        "b; charset=idna", "b; charset=undefined", "b; charset=unicode_escape", "b;boundary=c",
        "\xff", "b\t",
    )  # fmt: skip
    boundary = rng.choice(boundarys)
    return exchange(server, form(rng, fields, boundary))


def no_http(rng, server):
    lines = [
        b"\0\1\2", b"GET", b"GET /", b"GET / HTTP/9.9", b"get / http/1.1", b"GET  / HTTP/1.1",
        b"GET /health HTTP/1.1", b"GET /health HTTP/1.1\r\nHost: a\r\nHost: b", b"\x16\x03\1\0\xa5",
        b"GET /\xff HTTP/1.1\r\nHost: h",
        b"POST /predict HTTP/1.1\r\nHost: h\r\nContent-Length: -1",
        b"POST /predict HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2",
        b"POST /predict HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999999",
        b"POST /predict HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip",
        b"GET / HTTP/1.1\r\nHost: h\r\nA b: c", b"GET / HTTP/1.1\r\nHost: h\r\n folded: x",
        b"PRI * HTTP/2.0", b"GET /health HTTP/1.1\r\nHost: [::1\r\nOrigin: http://[",
        rng.randbytes(99),
    ]  # fmt: skip
    return exchange(server, rng.choice(lines) + b"\r\nConnection: close\r\n\r\n")


def long_header(rng, server):
    head = rng.choice([["A: " + "a" * 200_000], ["a" * 200_000 + ": a"], ["A: b"] * 20_000, []])
    whole = request(JUMPING, head, rng.choice(["/predict", "/" + "a" * 200_000]))
    at = rng.randrange(70_000)
    return exchange(server, whole[:at], whole[at:])


def other_addresses(rng, server):
    targets = (
        "/page/..%2fapp.py", "/page/%2e%2e/app.py", "//etc/passwd", "/page/%00", "/page/\\..\\",
        "*", "/predict/", "/live", "/docs", "http://127.0.0.1/", "/page/" + "a" * 5000, "/%ff",
        "/",
    )  # fmt: skip
    target = rng.choice(targets)
    method = rng.choice(
        ["GET", "POST", "PUT", "HEAD", "OPTIONS", "TRACE", "DELETE", "CONNECT", "X"]
    )
    head = rng.choice([[], ["Upgrade: websocket"], ["Expect: 100-continue"], ["Origin: null"]])
    answer = exchange(server, request(rng.choice([b"", JUMPING]), head, target, method))
    return None if method == "HEAD" else answer


def wrong_length(rng, server):
    body = rng.choice([JUMPING, b"", bytes(3000)])
    said = rng.choice([0, 1, len(body) - 1, len(body) + 1, len(body) + 5000, 2_000_001, 10**15])
    with opened(server) as client:
        client.sendall(request(body, length=max(said, 0)))
        if said > len(body):
            client.shutdown(socket.SHUT_WR)
        return received(client)


def chunks(rng, server):
    head = b"POST /predict HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    if rng.random() < 0.3:
        head = head.replace(b"/predict", b"/nowhere")
    good = b"".join(b"%x\r\n%s\r\n" % (9000, JUMPING[i : i + 9000]) for i in range(0, 63_000, 9000))
    ends = (
        b"0\r\n\r\n", b"zz\r\n", b"-1\r\n", b"ffffffffffffffffffff\r\n", b"5\r\nab",
        b"5;x=\0\r\n", b"0\r\nA: b\r\n\r\n", b"5\r\n123456\r\n", b"", b"%x\r\n" % (1 << 30),
    )  # fmt: skip
    end = rng.choice(ends)
    whole = head + rng.choice([b"", good]) + end
    at = rng.choice([len(head), len(whole) - 1, rng.randrange(len(whole))])
    with opened(server) as client:
        with suppress(OSError):
            client.sendall(whole[:at])
            client.sendall(whole[at:])
            client.shutdown(socket.SHUT_WR)
        return received(client)


def pipelined(rng, server):
    first = rng.choice([b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n", request(PICTURES["jpg"])])
    first = first.replace(b"Connection: close\r\n", b"")
    then = rng.choice([b"\0garbage\r\n\r\n", request(b"x" * 99), request(method="GET", target="/")])
    answer = exchange(server, first + then + b"\r\n\r\n")
    return answer[answer.rindex(b"HTTP/1.1 ") :]


def early_leaver(rng, server):
    whole = request(JUMPING).replace(b"Connection: close\r\n", b"")
    body = whole.index(b"\r\n\r\n") + 4
    with opened(server) as client:
        client.sendall(whole[: rng.choice([0, 1, 20, body, body + 30_000, len(whole), len(whole)])])
        if rng.random() < 0.3:
            client.settimeout(0.05)
            with suppress(TimeoutError):
                client.recv(10)
        if rng.random() < 0.5:  # with a reset
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def frame(kind, content, *, ends=True, masked=True, length=None):
    length = len(content) if length is None else length
    first = bytes([kind | (0x80 if ends else 0)])
    if length < 126:
        size = bytes([length | (0x80 if masked else 0)])
    else:
        size = bytes([0xFF if masked else 0x7F]) + length.to_bytes(8)
    return first + size + (bytes(4) if masked else b"") + content


HANDSHAKE = (
    b"GET /live HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
OPTIONS = frame(1, b'{"detector": "whole"}')
CLOSE = frame(8, struct.pack(">H", 1000))


def shaken(client):
    """A WebSocket from now on."""
    client.sendall(HANDSHAKE)
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += client.recv(1)
    assert answer.startswith(b"HTTP/1.1 101 ")


def no_handshake(rng, server):
    changes = (
        (b"GET", b"POST"), (b"/live", b"/predict"), (b"/live", b"/nowhere"), (b"13", b"99"),
        (b"13", b"\xff"), (b"dGhlIHNhbXBsZSBub25jZQ==", b"x"), (b"Host: h\r\n", b""),
        (b"Host: h", b"Host: h\r\nOrigin: http://["), (b"Host: h", b"Host: h\r\nX: " + b"a" * 9000),
        (b"Host: h", b"Host: h" + 300 * b"\r\nX: a"), (b"websocket", b"h2c"),
        (b"/live", b"/live?" + b"a" * 9000), (b"Sec-WebSocket-Key", b"Sec"),
        (b"Host: h", b"Host: h\r\nSec-WebSocket-Extensions: permessage-deflate; x=\xff"),
        (b"Host: h", b"Host: h\r\nContent-Length: 5"), (b"Host: h", b"Host: h\r\nOrigin: null"),
    )  # fmt: skip
    whole = HANDSHAKE.replace(*rng.choice(changes))
    if b"101" in (answer := exchange_and_leave(server, whole)):
        return None
    return answer if b"application/json" in answer else None


def exchange_and_leave(server, *parts):
    """The answer so far, of who then sends no more."""
    with opened(server) as client:
        with suppress(OSError):
            for part in parts:
                client.sendall(part)
            client.shutdown(socket.SHUT_WR)
        return received(client)


def socket_garbage(rng, server):
    jpg = PICTURES["jpg"]
    choices = (
        [frame(1, b"\xff\xfe")], [frame(1, b"[" * 5000)], [frame(1, b"x" * 99_999)],
        [frame(2, b"")],
        [frame(1, b'{"token": "\\ud800"}')], [frame(1, b'{"model": "\\ud800"}')], [frame(3, b"")],
        [frame(1, b"{}", masked=False)], [frame(0, b"a")], [frame(8, b"\3")],
        [frame(9, bytes(126))],
        [frame(8, struct.pack(">H", 1005))], [frame(8, b"\x03\xe8\xff")], [rng.randbytes(300)],
        [frame(2, b"", length=1 << 62)], [frame(2, b"", length=2_000_001)], [frame(0xC1, b"{}")],
        [OPTIONS, frame(1, b"text"), frame(2, b""), CLOSE], [OPTIONS, frame(2, jpg), CLOSE],
        [OPTIONS, frame(2, jpg[:99]), CLOSE], [OPTIONS, frame(2, jpg), frame(3, b"")],
        [OPTIONS, frame(2, jpg[:50], ends=False), frame(0, jpg[50:]), CLOSE],
        [OPTIONS, frame(2, jpg[:50], ends=False), frame(2, jpg)], [OPTIONS, frame(2, BOMB), CLOSE],
        [OPTIONS, frame(2, b"", ends=False), frame(0, b"", ends=False) * 3000],
        [OPTIONS, frame(2, b"", length=2_000_001)], [OPTIONS + frame(2, b"", length=1 << 62)],
        [OPTIONS, frame(2, jpg) * 50, CLOSE], [OPTIONS, frame(10, b"x") * 50, CLOSE], [CLOSE],
        [OPTIONS], [OPTIONS[:5]], [],
    )  # fmt: skip
    with opened(server) as client:
        shaken(client)
        with suppress(OSError):
            for part in rng.choice(choices):
                client.sendall(part)
            if rng.random() < 0.5:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return
            client.shutdown(socket.SHUT_WR)
        assert b"Traceback" not in received(client)


KINDS = (
    cut_off, broken, broken, mislabelled, bomb, wrong_boxes, wrong_boxes, wrong_options, wrong_form,
    wrong_form, no_http, long_header, other_addresses, wrong_length, chunks, pipelined,
    early_leaver, no_handshake, socket_garbage, socket_garbage,
)  # fmt: skip


def attack(server, number):
    """One hostile request; what is answered is one sentence, and no fault of the server's."""
    kind = KINDS[number % len(KINDS)]
    answer = kind(random.Random(number), server)
    if not answer:
        return
    where = f"{kind.__name__} {number}: {answer[:300]!r}"
    head, _, body = answer.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n").partition(b"\r\n\r\n")
    status = int(re.match(rb"HTTP/1\.1 (\d{3}) ", head)[1])
    assert status in EXPECTED, where
    assert b"Traceback" not in answer, where
    if status >= 400:
        (error,) = json.loads(body).values()
        assert 0 < len(error) < 250_000, where
        assert not re.search(r"[\n\r]", error), where


def held(server):
    """Threads, files and bytes."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    metrics = server.metrics()
    threads = int(re.search(r"Threads:\s+(\d+)", status)[1])
    return threads, metrics["process_open_fds",], metrics["process_resident_memory_bytes",]


def test_a_thousand_hostile_requests(server):
    known = server.people(JUMPING)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: attack(server, number), range(-WARM_UP, 0)))
        until(lambda: server.metrics()["hrnet_in_service",] == 0)
        threads, files, memory = held(server)
        list(pool.map(lambda number: attack(server, number), range(REQUESTS)))
    until(lambda: server.metrics()["hrnet_in_service",] == 0)
    until(lambda: held(server)[1] <= files)
    assert held(server)[0] <= threads + 4 + os.cpu_count()  # a pool that may not have been full
    # (It levels off: 297 MB after 400 requests, 306 after 1,600, 318 after 2,800 and 3,200.)
    assert held(server)[2] < 1.12 * memory
    assert {line["status"] for line in server.log()} <= EXPECTED | {101, 401, 499}
    (person,), (was,) = server.people(JUMPING), known
    np.testing.assert_allclose(person["keypoints"], was["keypoints"], atol=0.5)


def test_who_sends_or_reads_slowly_is_not_waited_for(server):
    files = held(server)[1]
    beginnings = [b"", b"G", b"GET /health HTTP/1.1\r\nHo", request(JUMPING)[:-9], HANDSHAKE]
    beginnings += [request(JUMPING, length=10**9), request(b"", length=10**6, target="/nowhere")]
    begun = time.monotonic()
    clients = []
    for number in range(70):
        client = opened(server)
        client.sendall(beginnings[number % len(beginnings)])
        clients.append(client)
    idle = opened(server)
    shaken(idle)
    idle.sendall(OPTIONS)  # this one has said what it wants
    # Meanwhile others are served.
    assert len(server.people(JUMPING)) == 1
    waiting = set(clients)
    while waiting:
        assert time.monotonic() < begun + 30, f"{len(waiting)} are still waited for"
        for client in select.select(waiting, [], [], 30)[0]:
            try:
                is_over = client.recv(1 << 16) == b""
            except ConnectionError:
                is_over = True
            if is_over:
                waiting.remove(client)
                client.close()
            elif beginnings[clients.index(client) % len(beginnings)] is HANDSHAKE:
                client.sendall(CLOSE)  # it has been told that it waited too long
    assert time.monotonic() > begun + SECONDS
    idle.sendall(frame(2, JUMPING))
    idle.sendall(CLOSE)
    assert b'"ready":true' in received(idle)
    idle.close()
    until(lambda: held(server)[1] <= files)


@pytest.mark.parametrize("what", ["pongs", "answers"])
def test_who_does_not_read_is_not_waited_for(server, what):
    _, files, memory = held(server)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        client.connect(("127.0.0.1", server.port))
        client.settimeout(30)
        part = request(method="GET", target="/openapi.json").replace(b"Connection: close\r\n", b"")
        if what == "pongs":
            shaken(client)
            client.sendall(OPTIONS)
            part = frame(9, bytes(125))
        with pytest.raises(ConnectionError):
            while True:
                client.sendall(part * 100)
    until(lambda: held(server)[1] <= files)
    assert held(server)[2] < 1.1 * memory


def test_more_connections_than_there_may_be(server):
    files = held(server)[1]
    clients = [opened(server) for _ in range(CONNECTIONS + 30)]
    head, _, body = received(clients[-1]).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert json.loads(body) == {"error": "too many connections are open; try again later"}
    for client in clients:
        client.close()
    until(lambda: held(server)[1] <= files)
