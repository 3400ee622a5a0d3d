"""Files and pictures from the network: whole and as expected, or one sentence on why not.

A public address may not lead to a private one, by a redirection or by a name that resolves anew:
whoever writes a public page would else have this computer ask its neighbours (server-side request
forgery). What counts is the address that is connected to. Where a proxy is set, it is the proxy
that connects, and has to see to this.
"""

import ipaddress
import os
import re
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.client import (
    HTTPConnection,
    HTTPException,
    HTTPResponse,
    HTTPSConnection,
    IncompleteRead,
    InvalidURL,
    responses,
)
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO
from urllib.error import URLError
from urllib.parse import quote, urljoin, urlsplit, urlunsplit
from urllib.request import (
    HTTPHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    UnknownHandler,
)

from hrnet.errors import ConfigError, DownloadError
from hrnet.files import sha256_of

TIMEOUT = 30.0  # seconds that a server may be silent
ATTEMPTS = 5  # connections for one file before giving up
MAX_REDIRECTS = 10
MAX_FILE_BYTES = 4 << 30  # several times the largest published checkpoint

_BLOCK = 1 << 18
_REDIRECTS = (301, 302, 303, 307, 308)
_WEB_PAGES = ("text/html", "application/xhtml+xml")
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")
# What an If-Range header may hold: a strong ETag or a date.
_VERSION = re.compile(r'"[!#-~]*"|\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT', re.ASCII)

_Progress = Callable[[int, int | None], None]  # bytes so far, bytes in all where known


def download(url: str, file: str | Path, *, sha256: str, by_hand: str | None = None) -> Path:
    """Fetch `url` to `file`, whole and with the right digest or not at all.

    A `file` that exists is returned as it is, without the network: it gets its name only after the
    check. What a broken or interrupted download left (`file` + ".part") is continued. Of several
    processes that want the same file one fetches it, and the others wait. On a terminal, standard
    error shows a progress bar.

    Args:
        url: http:// or https://.
        file: where to put it; its folder is made if need be.
        sha256: the hexadecimal digest, or its first 8 or more digits.
        by_hand: the page that an error names for fetching the file in a browser; else `url`.

    Returns:
        The absolute path of the file.

    Raises:
        DownloadError: the server is not there, answers with something else, breaks off again and
            again, sends another file, or leads from a public address to a private one. The message
            says where to put the file by hand.
        OSError: the file cannot be written; with its name.
        ConfigError: `sha256` is not a digest.
    """
    if not re.fullmatch(r"[0-9a-fA-F]{8,64}", sha256):
        raise ConfigError(f"the sha256 {sha256!r} of {url} is not 8 to 64 hexadecimal digits")
    file = Path(os.path.abspath(file))
    if file.is_file():
        return file
    from filelock import FileLock  # only where something is fetched: slow to import

    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{file}.lock"):
            if not file.is_file():  # another process may have fetched it meanwhile
                _download(url, file, sha256.lower())
    except DownloadError as error:
        raise DownloadError(
            f"{error}; fetch it by hand from {by_hand or url} and put it at {file}"
        ) from None
    except OSError as error:
        if error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror or str(error), f"{file}.part") from None
    return file


def read_url(url: str, *, max_bytes: int) -> bytes:
    """What an http:// or https:// URL holds, in memory.

    Raises:
        DownloadError: the server is not there, answers with something else, breaks off again and
            again, sends more than `max_bytes`, or leads from a public address to a private one.
    """
    body = BytesIO()
    _fetch(url, _Copy(body), max_bytes)
    return body.getvalue()


def _download(url: str, file: Path, sha256: str) -> None:
    part, version_file = (file.with_name(file.name + suffix) for suffix in (".part", ".etag"))
    # A process that was killed just before the renaming left a whole part file.
    if not (part.is_file() and sha256_of(part).startswith(sha256)):
        with part.open("ab") as body, _progress_bar(file.name) as progress:
            copy = _Copy(body, version_file, progress)
            if body.tell() and version_file.is_file():
                copy.version = version_file.read_text("ascii", errors="replace")
            _fetch(url, copy, MAX_FILE_BYTES)
            os.fsync(body.fileno())  # the name must not outlive a power cut that the bytes do not
    digest = sha256_of(part)
    version_file.unlink(missing_ok=True)
    if not digest.startswith(sha256):
        part.unlink()
        raise DownloadError(
            f"{url} holds another file than expected, or a damaged one (its sha256 starts with "
            f"{digest[: len(sha256)]}, not {sha256})"
        )
    part.replace(file)


@dataclass
class _Copy:
    """What has arrived of a URL, and which version of its content that is.

    `version` is what an If-Range header takes, anything else where the server named none. Without
    one, a later connection might continue another version: only a copy whose digest is checked
    at the end, which is one with a `version_file`, is then continued.
    """

    body: BinaryIO  # grows at its end
    version_file: Path | None = None  # keeps the version for the next process
    progress: _Progress = lambda done, total: None
    version: str = ""

    def range_headers(self) -> dict[str, str]:
        """The headers that ask for what is missing; none where all is."""
        known = _VERSION.fullmatch(self.version)
        if not self.body.tell() or not (known or self.version_file):
            return {}
        headers = {"Range": f"bytes={self.body.tell()}-"}
        return {**headers, "If-Range": self.version} if known else headers

    def start_over(self, version: str = "") -> None:
        self.body.seek(0)
        self.body.truncate()  # before the version changes: the bytes are never another one's
        self.version = version
        if self.version_file:
            self.version_file.write_text(version, "ascii", errors="replace")

    def add(self, data: bytes) -> None:
        self.body.write(data)
        self.body.flush()  # so that what arrived outlives this process


class _BrokenError(Exception):
    """The connection broke; another one may continue."""


def _fetch(url: str, copy: _Copy, limit: int) -> None:
    """Bring `copy` up to the whole content of `url`, over several connections if need be."""
    reason = ""
    way = _Way()
    for _ in range(ATTEMPTS):
        try:
            if _continue(url, copy, limit, way):
                return
            reason = "the server cannot continue it"
        except _BrokenError as error:
            reason = str(error)
    raise DownloadError(f"{url} cannot be downloaded: {reason}, after {ATTEMPTS} attempts")


def _continue(url: str, copy: _Copy, limit: int, way: "_Way") -> bool:
    """One connection. False where the server cannot continue `copy`, which is then empty."""
    asked = copy.range_headers()
    with _open(url, asked, way) as response:
        status, total = response.status, response.length  # None: the server does not say
        if asked and status == 416:
            copy.start_over()
            return False
        if status != 200 and not (asked and status == 206):
            phrase = responses.get(status, "")
            raise DownloadError(f"the server of {url} answered {status} {phrase}".rstrip())
        if response.headers.get_content_type() in _WEB_PAGES:
            raise DownloadError(f"{url} gives a web page instead of the file")
        version = _version(response)
        if status == 206:
            start, total = _content_range(response)
            if start != copy.body.tell() or (version and copy.version not in ("", version)):
                copy.start_over()
                return False
        if total is not None and total > limit:
            raise DownloadError(f"{url} has {total:,} bytes, more than the limit of {limit:,}")
        if status == 200:
            copy.start_over(version)
        for block in _blocks(response):
            copy.add(block)
            if copy.body.tell() > limit:
                copy.start_over()
                raise DownloadError(f"{url} has more than the limit of {limit:,} bytes")
            copy.progress(copy.body.tell(), total)
    if total not in (None, copy.body.tell()):
        raise _BrokenError(f"the connection broke at {copy.body.tell():,} of {total:,} bytes")
    return True


def _open(url: str, headers: dict[str, str], way: "_Way") -> HTTPResponse:
    """The answer to a GET request, of any status but a redirection.

    urllib's own handlers for redirections and errors are left out: they read the body of a
    redirection to its end, which may never come, and pass on ftp:// addresses.
    """
    opener = OpenerDirector()
    for handler in (ProxyHandler(), _Handler(way), UnknownHandler()):
        opener.add_handler(handler)
    headers = {"User-Agent": "hrnet", "Accept-Encoding": "identity", **headers}
    target, via = url, ""
    for _ in range(MAX_REDIRECTS + 1):
        try:
            response = opener.open(Request(_ascii_url(target), headers=headers), timeout=TIMEOUT)
            assert isinstance(response, HTTPResponse)
            if response.status not in _REDIRECTS:
                return response
            response.close()
            location = response.headers.get("Location", "").encode("latin-1")  # as it was sent
            target = urljoin(target, location.decode("utf-8", errors="replace"))
            via = f"it redirects to {target[:200]!r}: "
        except ConnectionResetError as error:  # urllib passes it on bare once it has connected
            raise _BrokenError(_reason(error)) from None
        except (OSError, HTTPException, ValueError) as error:
            raise DownloadError(f"{url} cannot be downloaded: {via}{_reason(error)}") from None
    raise DownloadError(f"{url} cannot be downloaded: it redirects more than {MAX_REDIRECTS} times")


@dataclass
class _Way:
    """Where the connections for one file have led."""

    been_public: bool = False

    def check(self, address: str) -> None:
        """Raises `OSError` where a public address led to a private one."""
        if _is_public(address):
            self.been_public = True
        elif self.been_public:
            raise OSError(
                f"a public address may not lead to a private one ({address}); give that one itself "
                "if it is meant"
            )


def _is_public(address: str) -> bool:
    """Whether an IP address is of the internet at large: not loopback, private, link-local, ..."""
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        ip = ip.ipv4_mapped or ip.sixtofour or ip
    return ip.is_global


class _Connection(HTTPConnection):
    """One that is checked before anything is sent."""

    way: _Way

    def set_tunnel(self, *args: Any, **options: Any) -> None:
        super().set_tunnel(*args, **options)
        self.way = _Way()  # a proxy is connected to

    def connect(self) -> None:
        super().connect()
        self.way.check(self.sock.getpeername()[0])


class _SecureConnection(HTTPSConnection, _Connection):
    """Checked before encryption: `HTTPSConnection.connect` begins with the next class's."""


class _Handler(HTTPHandler, HTTPSHandler):
    def __init__(self, way: _Way) -> None:
        super().__init__()
        self.way = way

    def http_open(self, req: Request) -> HTTPResponse:
        way = _Way() if req.has_proxy() else self.way
        return self.do_open(partial(_on_its_way, _Connection, way), req)

    def https_open(self, req: Request) -> HTTPResponse:
        return self.do_open(partial(_on_its_way, _SecureConnection, self.way), req)


def _on_its_way(kind: type[_Connection], way: _Way, *args: Any, **options: Any) -> _Connection:
    connection = kind(*args, **options)
    connection.way = way
    return connection


def _ascii_url(url: str) -> str:
    """`url` with spaces and letters beyond ASCII encoded, as browsers do."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("only http:// and https:// addresses are fetched")
    path, query = (quote(part, safe="!$%&'()*+,/:;=?@[]~") for part in (parts.path, parts.query))
    host = parts.netloc.encode("idna").decode("ascii")
    return urlunsplit((parts.scheme, host, path, query, ""))


def _version(response: HTTPResponse) -> str:
    etag = response.headers.get("ETag", "")
    return etag if _VERSION.fullmatch(etag) else response.headers.get("Last-Modified", "")


def _content_range(response: HTTPResponse) -> tuple[int, int | None]:
    """First byte and whole size of a partial answer; -1 where it does not say which part it is."""
    match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if match is None:
        return -1, None
    return int(match[1]), int(match[2]) + 1 if match[3] == "*" else int(match[3])


def _blocks(response: HTTPResponse) -> Iterator[bytes]:
    """The body, as it arrives."""
    while True:
        try:  # read() would wait for whole blocks, and lose the bytes before a break
            block = response.read1(_BLOCK)
        except (OSError, HTTPException) as error:
            raise _BrokenError(_reason(error)) from None
        if not block:
            return
        yield block


def _reason(error: Exception) -> str:
    if isinstance(error, URLError) and isinstance(error.reason, Exception):
        error = error.reason
    if isinstance(error, TimeoutError):
        return f"the server was silent for {TIMEOUT:g} seconds"
    if isinstance(error, socket.gaierror):
        return "there is no such host, or no network"
    if isinstance(error, (ConnectionResetError, IncompleteRead)):
        return "the server closed the connection"
    if isinstance(error, HTTPException) and not isinstance(error, InvalidURL):
        return "the server does not keep to HTTP"
    return getattr(error, "strerror", None) or str(error)


@contextmanager
def _progress_bar(name: str) -> Iterator[_Progress]:
    if sys.stderr is None or not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
