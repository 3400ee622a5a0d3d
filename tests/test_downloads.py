"""Downloads from a real server in a thread, well-behaved and not."""

import hashlib
import logging
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import hrnet.downloads
from hrnet.downloads import download, read_url
from hrnet.errors import ConfigError, DownloadError

DATA = bytes(range(256)) * 2000  # 512,000 bytes, of which no two places that we break at agree
HALF = 200_003
SHA256 = hashlib.sha256(DATA).hexdigest()


class Server(ThreadingHTTPServer):
    """Answers the first request with the first of `answers`, and so on; the last one stays."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/w32.pth"
        self.answers = []
        self.requests = []  # path and headers
        self.sent = 0  # bytes of bodies
        self.over = threading.Event()

    @property
    def ranges(self):
        return [headers["Range"] for _, headers in self.requests]

    def handle_error(self, request, client_address):
        pass  # a client that has seen enough closes the connection


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.close_connection = True
        answers = self.server.answers
        answer = answers[min(len(self.server.requests), len(answers) - 1)]
        self.server.requests.append((self.path, self.headers))
        answer(self)

    def log_message(self, *args):
        pass

    def head(self, status=200, **headers):
        self.send_response(status)
        for name, value in headers.items():
            latin = (
                str(value).encode().decode("latin-1")
            )  # http.server sends that: UTF-8 in the end
            self.send_header(name.replace("_", "-"), latin)
        self.end_headers()

    def body(self, data):
        self.server.sent += len(data)  # first, as who has it all may look at once
        self.wfile.write(data)
        self.wfile.flush()


def whole(data=DATA, etag='"one"', last_modified=None, breaks_at=None):
    """A server as it should be, but that it may break off before byte `breaks_at`."""

    def answer(handler):
        version = {"ETag": etag} if etag else {}
        if last_modified:
            version["Last-Modified"] = last_modified
        start = 0
        if asked := handler.headers["Range"]:
            start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1])
        if handler.headers["If-Range"] not in (None, etag, last_modified):
            start = 0
        if start >= len(data):
            handler.head(416, Content_Range=f"bytes */{len(data)}", Content_Length=0)
            return
        length = {"Content-Length": len(data) - start}
        if start:
            span = f"bytes {start}-{len(data) - 1}/{len(data)}"
            handler.head(206, Content_Range=span, **length, **version)
        else:
            handler.head(200, **length, **version)
        handler.body(data[start:breaks_at])

    return answer


def says(status=200, body=b"", **headers):
    def answer(handler):
        handler.head(status, **headers)
        handler.body(body)

    return answer


def silent(handler):
    handler.server.over.wait(60)


def silent_in_the_middle(handler):
    handler.head(200, Content_Length=len(DATA), ETag='"one"')
    handler.body(DATA[:HALF])
    silent(handler)


def endless(handler):
    handler.head(200)
    while not handler.server.over.is_set():
        handler.body(DATA)


def endless_chunks(handler):
    handler.head(200, Transfer_Encoding="chunked")
    while not handler.server.over.is_set():
        handler.body(b"%x\r\n%b\r\n" % (len(DATA), DATA))


def endless_redirect(handler):
    handler.head(302, Location="ftp://127.0.0.1/w32.pth")
    while not handler.server.over.is_set():
        handler.body(DATA)


def reset(handler):
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


def closed(handler):
    pass


@pytest.fixture
def server(monkeypatch):
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "*")
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.over.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def file(tmp_path):
    return tmp_path / "cache" / "w32.pth"


def left(file):
    """What is in the cache folder, but for the lock, which some versions of filelock leave."""
    return sorted(p.name for p in file.parent.iterdir() if p.suffix != ".lock")


def part(file):
    return file.with_name(file.name + ".part")


def refuse(url, file, match, **options):
    """Download in vain: one sentence, with where to put the file, and nothing under its name."""
    with pytest.raises(DownloadError, match=match) as caught:
        download(url, file, **{"sha256": SHA256, **options})
    message = str(caught.value)
    assert f"fetch it by hand from {url} and put it at {file}" in message
    assert "\n" not in message
    assert not file.exists()
    return message


# ---- what goes well


def test_a_file_is_fetched_once_with_its_folder(server, file):
    server.answers = [whole()]
    assert download(server.url, file, sha256=SHA256) == file
    assert file.read_bytes() == DATA
    assert left(file) == ["w32.pth"]
    assert download(server.url, file, sha256=SHA256) == file
    assert server.ranges == [None]


def test_a_relative_path_comes_back_absolute(server, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    server.answers = [whole()]
    assert download(server.url, "w32.pth", sha256=SHA256) == tmp_path / "w32.pth"


@pytest.mark.parametrize("digest", [SHA256[:8], SHA256[:12], SHA256.upper()])
def test_the_first_digits_of_the_digest_are_enough(server, file, digest):
    server.answers = [whole()]
    download(server.url, file, sha256=digest)
    assert file.read_bytes() == DATA


@pytest.mark.parametrize("digest", ["", SHA256[:7], SHA256 + "0", "0123456x"])
def test_what_is_no_digest_is_refused(server, file, digest):
    with pytest.raises(ConfigError, match="not 8 to 64 hexadecimal digits"):
        download(server.url, file, sha256=digest)
    assert not server.requests


def test_a_file_of_unknown_length(server, file):
    server.answers = [says(body=DATA)]
    assert download(server.url, file, sha256=SHA256).read_bytes() == DATA


def test_chunks(server, file):
    chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(DATA), DATA)
    server.answers = [says(body=chunks, Transfer_Encoding="chunked")]
    assert download(server.url, file, sha256=SHA256).read_bytes() == DATA


def test_redirections_are_followed_and_keep_the_range(server, file):
    server.answers = [
        whole(breaks_at=HALF),
        says(302, Location="/else where/文件.pth?a=b%20c#d"),
        whole(),
    ]
    download(server.url, file, sha256=SHA256)
    assert file.read_bytes() == DATA
    assert server.requests[2][0] == "/else%20where/%E6%96%87%E4%BB%B6.pth?a=b%20c"
    assert server.ranges == [None, f"bytes={HALF}-", f"bytes={HALF}-"]


def test_no_compression_is_asked_for(server):
    server.answers = [whole()]
    read_url(server.url, max_bytes=len(DATA))
    assert server.requests[0][1].get_all("Accept-Encoding") == ["identity"]


# ---- continuing


@pytest.mark.parametrize(
    "version",
    [{}, {"etag": None}, {"etag": None, "last_modified": "Mon, 01 Jan 2024 00:00:00 GMT"}],
    ids=["etag", "nothing", "date"],
)
def test_a_broken_connection_is_continued(server, file, version):
    server.answers = [whole(breaks_at=HALF, **version), whole(**version)]
    assert download(server.url, file, sha256=SHA256).read_bytes() == DATA
    assert server.ranges == [None, f"bytes={HALF}-"]
    expected = version.get("etag", '"one"') or version.get("last_modified")
    assert server.requests[1][1]["If-Range"] == expected
    assert server.sent == len(DATA)
    assert left(file) == ["w32.pth"]


def test_broken_chunks_are_continued(server, file):
    chunk = b"%x\r\n%b" % (len(DATA), DATA[:HALF])
    server.answers = [says(body=chunk, Transfer_Encoding="chunked", ETag='"one"'), whole()]
    assert download(server.url, file, sha256=SHA256).read_bytes() == DATA
    assert server.ranges == [None, f"bytes={HALF}-"]


@pytest.mark.parametrize("no_answer", [reset, closed])
def test_a_connection_that_breaks_before_the_answer_is_tried_again(server, file, no_answer):
    server.answers = [whole(breaks_at=HALF), no_answer, whole()]
    assert download(server.url, file, sha256=SHA256).read_bytes() == DATA
    assert server.sent == len(DATA)


def test_the_next_call_continues_what_the_last_one_left(server, file, monkeypatch):
    monkeypatch.setattr(hrnet.downloads, "ATTEMPTS", 2)
    server.answers = [whole(breaks_at=1000), whole(breaks_at=HALF), whole()]
    refuse(server.url, file, "the connection broke at 200,003 of 512,000 bytes, after 2 attempts")
    assert part(file).read_bytes() == DATA[:HALF]
    assert download(server.url, file, sha256=SHA256).read_bytes() == DATA
    assert server.ranges == [None, "bytes=1000-", f"bytes={HALF}-"]
    assert server.requests[2][1]["If-Range"] == '"one"'
    assert server.sent == len(DATA)
    assert left(file) == ["w32.pth"]


def test_a_weak_etag_does_not_vouch_for_bytes(server, file):
    server.answers = [whole(breaks_at=HALF, etag='W/"one"'), whole(etag='W/"one"')]
    assert download(server.url, file, sha256=SHA256).read_bytes() == DATA
    assert server.requests[1][1]["If-Range"] is None


OTHER = DATA[::-1]
OTHER_SHA256 = hashlib.sha256(OTHER).hexdigest()


def test_a_file_that_changed_is_fetched_anew(server, file):
    server.answers = [whole(breaks_at=HALF), whole(OTHER, etag='"two"')]
    assert download(server.url, file, sha256=OTHER_SHA256).read_bytes() == OTHER
    assert server.ranges == [None, f"bytes={HALF}-"]


def test_a_file_that_changed_between_calls_is_fetched_anew(server, file, monkeypatch):
    server.answers = [whole(breaks_at=HALF), whole(OTHER, etag='"two"')]
    with monkeypatch.context() as once:
        once.setattr(hrnet.downloads, "ATTEMPTS", 1)
        refuse(server.url, file, "broke", sha256=OTHER_SHA256)
    assert download(server.url, file, sha256=OTHER_SHA256).read_bytes() == OTHER


def test_a_server_that_continues_another_version_is_noticed(server, file):
    """It ignores If-Range, and says so in its ETag."""
    end = len(OTHER)
    glue = says(206, OTHER[HALF:], ETag='"two"', Content_Range=f"bytes {HALF}-{end - 1}/{end}")
    server.answers = [whole(breaks_at=HALF), glue, whole(OTHER, etag='"two"')]
    assert download(server.url, file, sha256=OTHER_SHA256).read_bytes() == OTHER
    assert server.ranges == [None, f"bytes={HALF}-", None]


@pytest.mark.parametrize(
    "wrong",
    [
        says(416, b"<html>", Content_Type="text/html"),
        says(206, DATA[:1000], Content_Range="bytes 0-999/512000"),
        says(206, DATA[HALF + 1 :], Content_Range=f"bytes {HALF + 1}-511999/512000"),
        says(206, DATA[HALF:]),
        says(206, DATA[HALF:], Content_Range="bytes half-"),
    ],
)
def test_a_server_that_cannot_continue_sends_all_again(server, file, wrong):
    server.answers = [whole(breaks_at=HALF), wrong, whole()]
    assert download(server.url, file, sha256=SHA256).read_bytes() == DATA
    assert server.ranges == [None, f"bytes={HALF}-", None]


def test_a_server_that_ignores_the_range_is_not_appended(server, file):
    again = says(200, DATA, Content_Length=len(DATA))
    server.answers = [whole(breaks_at=HALF), again]
    assert download(server.url, file, sha256=SHA256).read_bytes() == DATA
    assert server.ranges == [None, f"bytes={HALF}-"]


def test_a_continuation_may_leave_the_whole_size_open(server, file):
    rest = says(206, DATA[HALF:], Content_Range=f"bytes {HALF}-511999/*")
    server.answers = [whole(breaks_at=HALF), rest]
    assert download(server.url, file, sha256=SHA256).read_bytes() == DATA


def test_a_shorter_piece_than_asked_for_is_continued(server, file):
    piece = says(206, DATA[HALF:300_000], Content_Range=f"bytes {HALF}-299999/512000")
    server.answers = [whole(breaks_at=HALF), piece, whole()]
    assert download(server.url, file, sha256=SHA256).read_bytes() == DATA
    assert server.ranges == [None, f"bytes={HALF}-", "bytes=300000-"]


def test_a_part_that_is_whole_is_not_fetched_again(server, file):
    """The process was killed between the last byte and the renaming."""
    file.parent.mkdir()
    part(file).write_bytes(DATA)
    assert download(server.url, file, sha256=SHA256[:8]).read_bytes() == DATA
    assert not server.requests
    assert left(file) == ["w32.pth"]


def test_a_part_of_something_longer_is_given_up(server, file):
    file.parent.mkdir()
    part(file).write_bytes(DATA + b"more")
    server.answers = [whole()]
    assert download(server.url, file, sha256=SHA256).read_bytes() == DATA
    assert server.ranges == [f"bytes={len(DATA) + 4}-", None]


def test_a_wrong_part_is_not_kept(server, file):
    """Nothing tells it from the right one but the digest: the next call starts over."""
    file.parent.mkdir()
    part(file).write_bytes(b"x" * HALF)
    server.answers = [whole()]
    refuse(server.url, file, "another file than expected")
    assert left(file) == []
    assert download(server.url, file, sha256=SHA256).read_bytes() == DATA


def test_a_garbled_version_is_not_sent(server, file):
    file.parent.mkdir()
    part(file).write_bytes(b"x" * HALF)
    file.with_name("w32.pth.etag").write_bytes(b"\xff\r\nX: y")
    server.answers = [whole()]
    assert download(server.url, file, sha256=SHA256).read_bytes() == DATA
    assert server.requests[0][1]["If-Range"] is None
    assert server.ranges == [f"bytes={HALF}-", None]


def test_a_web_page_does_not_cost_the_part(server, file, monkeypatch):
    """As the log-in page of a hotel's network."""
    monkeypatch.setattr(hrnet.downloads, "ATTEMPTS", 1)
    server.answers = [whole(breaks_at=HALF), says(200, b"<html>", Content_Type="text/html")]
    refuse(server.url, file, "broke")
    refuse(server.url, file, "a web page instead of the file")
    assert part(file).read_bytes() == DATA[:HALF]


# ---- other processes, and being interrupted


CHILD = """
import logging, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # shells may have it ignored
from hrnet.downloads import download
logging.basicConfig(stream=sys.stdout, level=logging.DEBUG)
print(download(sys.argv[1], sys.argv[2], sha256=sys.argv[3]), flush=True)
"""


def start_child(server, file):
    source = Path(hrnet.downloads.__file__).parents[1]
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, server.url, file, SHA256],
        env={**os.environ, "PYTHONPATH": str(source)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_of_two_processes_one_downloads(server, file):
    first_is_here, go_on = threading.Event(), threading.Event()

    def slowly(handler):
        handler.head(200, Content_Length=len(DATA))
        handler.body(DATA[:HALF])
        first_is_here.set()
        go_on.wait(60)
        handler.body(DATA[HALF:])

    server.answers = [slowly, whole()]  # a second request would be answered at once
    first = start_child(server, file)
    assert first_is_here.wait(60)
    second = start_child(server, file)
    for line in second.stdout:  # until filelock says that the second one waits
        if "not acquired" in line:
            break
    assert second.poll() is None
    go_on.set()
    for process in (first, second):
        out, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, "")
        assert out.splitlines()[-1] == str(file)
    assert len(server.requests) == 1
    assert file.read_bytes() == DATA


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT for one process")
@pytest.mark.parametrize("signal_number", [signal.SIGINT, getattr(signal, "SIGKILL", None)])
def test_an_interrupted_download_is_continued(server, file, signal_number):
    sent = threading.Event()

    def stops(handler):
        handler.head(200, Content_Length=len(DATA), ETag='"one"')
        handler.body(DATA[:1000])
        sent.set()
        silent(handler)

    server.answers = [stops, whole()]
    child = start_child(server, file)
    assert sent.wait(60)
    while not part(file).exists() or part(file).stat().st_size < 1000:
        assert child.poll() is None
    child.send_signal(signal_number)
    _, err = child.communicate(timeout=60)
    if signal_number == signal.SIGINT:
        assert err.rstrip().endswith("KeyboardInterrupt")
    assert not file.exists()
    assert part(file).read_bytes() == DATA[:1000]

    assert download(server.url, file, sha256=SHA256).read_bytes() == DATA
    assert server.ranges == [None, "bytes=1000-"]
    assert server.sent == len(DATA)


# ---- what goes wrong, for files and for pictures alike


WRONG = {
    "404": (says(404, b"no", Content_Type="text/html"), "answered 404 Not Found"),
    "500": (says(500, DATA), "answered 500 Internal Server Error"),
    "status": (says(599, DATA), "answered 599"),
    "no content": (says(204), "answered 204 No Content"),
    "unasked part": (says(206, DATA, Content_Range="bytes 0-511999/512000"), "answered 206"),
    "page": (
        says(200, b"<!DOCTYPE html>", Content_Type="text/HTML; charset=utf-8"),
        "a web page instead of the file",
    ),
    "fewer bytes": (
        says(200, DATA[:-1], Content_Length=len(DATA)),
        "broke at 511,999 of 512,000 bytes, after 5 attempts",
    ),
    "breaks off": (whole(breaks_at=HALF, etag=None), "broke at 200,003 of 512,000 bytes"),
    "reset": (reset, "the server closed the connection, after 5 attempts"),
    "closed": (closed, "the server closed the connection, after 5 attempts"),
    "broken chunk": (
        says(200, b"5\r\nabc", Transfer_Encoding="chunked"),
        "the server closed the connection, after 5 attempts",
    ),
    "no chunk": (
        says(200, b"\x1b[2J\r\n", Transfer_Encoding="chunked"),
        "the server closed the connection, after 5 attempts",
    ),
    "not HTTP": (lambda h: h.body(b"\x1b[2JSSH-2.0\r\n\r\n"), "the server does not keep to HTTP"),
    "silent": (silent, "the server was silent for 0.1 seconds"),
    # On a busy machine the second attempt may not even see the headers in time.
    "silent in the middle": (silent_in_the_middle, "the server was silent for 0.1 seconds"),
    "endless": (endless, "has more than the limit of 1,000,000 bytes"),
    "endless chunks": (endless_chunks, "has more than the limit of 1,000,000 bytes"),
    "large": (
        says(200, Content_Length=1_000_001),
        "has 1,000,001 bytes, more than the limit of 1,000,000",
    ),
    "to a file": (
        says(302, Location="file:///etc/passwd"),
        "it redirects to 'file:///etc/passwd': only http:// and https:// addresses are fetched",
    ),
    "to ftp": (endless_redirect, "redirects to 'ftp://127.0.0.1/w32.pth': only http:// and"),
    "to nowhere": (says(301, Location="http://[bad"), "cannot be downloaded: .*Invalid IPv6"),
    "to a bad port": (says(301, Location="http://a:b/"), "nonnumeric port: 'b'"),
    "circle": (says(307, Location="/w32.pth"), "it redirects more than 10 times"),
    "no location": (says(308), "it redirects more than 10 times"),
}


@pytest.fixture(params=WRONG.values(), ids=WRONG.keys())
def wrong(server, request, monkeypatch):
    answer, match = request.param
    monkeypatch.setattr(hrnet.downloads, "MAX_FILE_BYTES", 1_000_000)
    if "silent" in match:
        monkeypatch.setattr(hrnet.downloads, "TIMEOUT", 0.1)
        monkeypatch.setattr(hrnet.downloads, "ATTEMPTS", 2)
    server.answers = [answer]
    return match


def test_a_file_from_a_server_that_misbehaves(server, file, wrong):
    message = refuse(server.url, file, wrong)
    assert message.isprintable()


def test_a_picture_from_a_server_that_misbehaves(server, wrong):
    with pytest.raises(DownloadError, match=wrong) as caught:
        read_url(server.url, max_bytes=1_000_000)
    assert server.url in str(caught.value)
    assert str(caught.value).isprintable()


def test_an_endless_file_leaves_no_disk_full_behind(server, file, monkeypatch):
    monkeypatch.setattr(hrnet.downloads, "MAX_FILE_BYTES", 1_000_000)
    server.answers = [endless]
    refuse(server.url, file, "limit")
    assert part(file).stat().st_size == 0


def test_a_redirection_to_a_web_page(server, file):
    server.answers = [
        says(302, Location="/login"),
        says(200, b"<html>", Content_Type="text/html"),
    ]
    refuse(server.url, file, "a web page instead of the file")
    assert [path for path, _ in server.requests] == ["/w32.pth", "/login"]


PRIVATE = r"a public address may not lead to a private one \(127\.0\.0\.1\); give that one itself"


@pytest.fixture
def public(monkeypatch):
    """Says of one connection after the other whether its address is a public one."""

    def say(*answers):
        remaining = iter(answers)
        monkeypatch.setattr(hrnet.downloads, "_is_public", lambda address: next(remaining))

    return say


@pytest.mark.parametrize(
    "hops", [(True, False), (False, True, False), (True, True, False)], ids=str
)
@pytest.mark.parametrize("named_anew", [False, True], ids=["other host", "same host"])
def test_a_public_address_does_not_lead_to_a_private_one(server, file, public, hops, named_anew):
    """Not even by its own name, where that comes to mean another address."""
    elsewhere = "/secret" if named_anew else f"http://localhost:{server.server_port}/secret"
    server.answers = [says(302, Location=elsewhere)]
    public(*hops)
    message = refuse(server.url, file, PRIVATE)
    assert f"it redirects to '{server.url[:-8] if named_anew else elsewhere[:-7]}" in message
    assert len(server.requests) == len(hops) - 1  # the private one is asked for nothing


@pytest.mark.parametrize(
    "hops", [(False, False), (False, True), (True, True), (False, False, True)], ids=str
)
def test_other_redirections_are_followed(server, file, public, hops):
    server.answers = [says(302, Location="/there")] * (len(hops) - 1) + [whole()]
    public(*hops)
    assert download(server.url, file, sha256=SHA256).read_bytes() == DATA


def test_a_second_attempt_does_not_lead_to_a_private_address_either(server, file, public):
    server.answers = [whole(breaks_at=HALF), whole()]
    public(True, False)
    refuse(server.url, file, PRIVATE)
    assert len(server.requests) == 1


def test_an_encrypted_connection_is_checked_before_it_says_anything(server, public):
    server.answers = [
        says(302, Location=f"https://127.0.0.1:{server.server_port}/secret"),
    ]
    public(True, False)
    with pytest.raises(DownloadError, match=PRIVATE):
        read_url(server.url, max_bytes=1_000_000)


def test_a_proxy_is_not_judged_by_its_address(server, public, monkeypatch):
    """It is often a private one, and what it connects to is not known here."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("http_proxy", server.url)
    public(True, False)
    server.answers = [says(302, Location="http://second.invalid/b"), whole()]
    assert read_url("http://first.invalid/a", max_bytes=len(DATA)) == DATA
    assert [path for path, _ in server.requests] == [
        "http://first.invalid/a",
        "http://second.invalid/b",
    ]


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True), ("140.82.121.4", True), ("2606:4700::1111", True),
        ("::ffff:8.8.8.8", True), ("2002:808:808::1", True),
        ("127.0.0.1", False), ("127.8.9.1", False), ("0.0.0.0", False), ("10.0.0.1", False),
        ("172.16.0.1", False), ("192.168.1.1", False), ("169.254.169.254", False),
        ("100.64.0.1", False), ("198.18.0.1", False), ("240.0.0.1", False),
        ("255.255.255.255", False), ("::", False), ("::1", False), ("fe80::1", False),
        ("fe80::1%1", False), ("fd00::1", False), ("::ffff:127.0.0.1", False),
        ("::ffff:10.0.0.1", False), ("2002:7f00:1::1", False), ("2001:db8::1", False),
    ],
)  # fmt: skip
def test_which_addresses_are_public(address, public):
    assert hrnet.downloads._is_public(address) is public


@pytest.mark.parametrize(
    "lie",
    [
        says(200, DATA, Content_Length=len(DATA) - 1),
        says(200, DATA + b"more"),
        says(200, b""),
        says(200, OTHER, Content_Length=len(OTHER)),
    ],
    ids=["more bytes than it says", "more bytes", "no bytes", "other bytes"],
)
def test_another_file_than_expected(server, file, lie):
    server.answers = [lie]
    refuse(server.url, file, f"another file than expected.*not {SHA256}")
    assert left(file) == []


def test_the_digest_is_checked_as_far_as_it_is_known(server, file):
    server.answers = [whole()]
    wrong = SHA256[:7] + ("0" if SHA256[7] != "0" else "1")
    refuse(server.url, file, f"starts with {SHA256[:8]}, not {wrong}", sha256=wrong)
    assert left(file) == []


def test_nobody_listens(file, server):
    with socket.create_server(("127.0.0.1", 0)) as unused:
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/w32.pth"
    refuse(url, file, "[Rr]efused")
    with pytest.raises(DownloadError, match="[Rr]efused"):
        read_url(url, max_bytes=100)


def test_no_such_host(file, server):
    url = "http://no-such-host.invalid/w32.pth"
    refuse(url, file, "there is no such host, or no network")


def test_a_host_without_tls(file, server):
    server.answers = [whole()]
    refuse(server.url.replace("http:", "https:"), file, "SSL")


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x", "w32.pth", "http:///x", "//a/b", ""],
)
def test_only_the_web(file, url, server, monkeypatch):
    monkeypatch.setenv("ftp_proxy", server.url)  # urllib would take it through
    refuse(url, file, "only http:// and https:// addresses are fetched")
    with pytest.raises(DownloadError, match="only http:// and https://"):
        read_url(url, max_bytes=100)
    assert not server.requests


@pytest.mark.parametrize("url", ["http://a..b/", "http://[::1/", "http://127.0.0.1:port/"])
def test_an_address_that_is_none(url):
    with pytest.raises(DownloadError, match="cannot be downloaded: "):
        read_url(url, max_bytes=100)


def test_a_page_may_be_named_for_fetching_by_hand(server, file):
    server.answers = [says(404)]
    with pytest.raises(DownloadError, match="by hand from https://a.b/zoo and put it at") as caught:
        download(server.url, file, sha256=SHA256, by_hand="https://a.b/zoo")
    assert server.url in str(caught.value)


# ---- pictures


def test_a_picture_of_exactly_the_limit(server):
    server.answers = [whole()]
    assert read_url(server.url, max_bytes=len(DATA)) == DATA
    with pytest.raises(DownloadError, match="has 512,000 bytes, more than the limit of 511,999"):
        read_url(server.url, max_bytes=len(DATA) - 1)


def test_a_picture_is_continued_if_the_server_names_its_version(server):
    server.answers = [whole(breaks_at=HALF), whole()]
    assert read_url(server.url, max_bytes=len(DATA)) == DATA
    assert server.ranges == [None, f"bytes={HALF}-"]


def test_a_picture_without_a_version_starts_over(server):
    """There is no digest that would tell halves of two pictures from one."""
    server.answers = [whole(breaks_at=HALF, etag=None), whole(OTHER, etag=None)]
    assert read_url(server.url, max_bytes=len(DATA)) == OTHER
    assert server.ranges == [None, None]


def test_bytes_beyond_the_stated_length_are_not_the_pictures(server):
    server.answers = [says(200, DATA, Content_Length=1000)]
    assert read_url(server.url, max_bytes=len(DATA)) == DATA[:1000]


# ---- disks and terminals


def test_a_full_disk_is_named_and_the_part_continued(server, file):
    resource = pytest.importorskip("resource")
    server.answers = [whole()]
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (HALF, limits[1]))
    try:
        with pytest.raises(OSError, match=r"w32\.pth\.part") as caught:
            download(server.url, file, sha256=SHA256)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.filename == str(part(file))
    assert caught.value.strerror
    assert not file.exists()
    assert part(file).read_bytes() == DATA[:HALF]
    assert download(server.url, file, sha256=SHA256).read_bytes() == DATA
    assert server.ranges == [None, f"bytes={HALF}-"]


def test_a_folder_that_cannot_be_made_is_named(server, tmp_path):
    (tmp_path / "cache").write_text("a file, not a folder")
    with pytest.raises(OSError) as caught:  # noqa: PT011  its type depends on the platform
        download(server.url, tmp_path / "cache" / "weights" / "w32.pth", sha256=SHA256)
    assert str(tmp_path / "cache") in str(caught.value.filename)
    assert not server.requests


@pytest.mark.parametrize("suffix", ["", ".part", ".lock"])
def test_a_name_that_is_taken_by_a_folder_is_told(server, file, suffix):
    (file.parent / (file.name + suffix)).mkdir(parents=True)
    server.answers = [whole()]
    with pytest.raises(OSError) as caught:  # noqa: PT011
        download(server.url, file, sha256=SHA256)
    assert str(file) in str(caught.value.filename)


def test_nothing_is_printed_where_nobody_watches(server, file, capfd, caplog):
    caplog.set_level(logging.INFO)
    server.answers = [whole(breaks_at=HALF), whole()]
    download(server.url, file, sha256=SHA256)
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


def test_a_terminal_shows_a_bar(server, tmp_path, monkeypatch, capsys):
    pty = pytest.importorskip("pty")
    file = tmp_path / "[w32].pth"  # which is no markup of rich's
    server.answers = [whole()]
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        monkeypatch.setenv("TERM", "xterm")
        download(server.url, file, sha256=SHA256)
    shown = b""
    with suppress(OSError):  # which is how Linux says that the other end is closed
        while data := os.read(ours, 100_000):
            shown += data
    os.close(ours)
    assert b"[w32].pth" in shown
    assert b"512.0" in shown
    assert capsys.readouterr().out == ""
