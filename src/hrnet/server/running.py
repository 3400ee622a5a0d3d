"""A service on a port, until a signal ends it."""

import asyncio
import json
import logging
import socket
from asyncio import AbstractEventLoop, BaseTransport, TimerHandle, Transport
from collections.abc import Callable
from http import HTTPStatus
from types import FrameType

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame

from hrnet.errors import ConfigError
from hrnet.server.limits import Limits

HEADER_SECONDS = 10.0  # that a request's first lines may take to arrive
WRITE_SECONDS = 30.0  # that a client may leave an answer unread
FINISH_SECONDS = 30  # for what was accepted, after SIGTERM
# With those that are accepted at once, fewer than the 1,024 files that a process may have open.
CONNECTIONS, BACKLOG = 500, 128
FRAGMENTS = 1000  # that a message of a WebSocket may come in


class _EndsUnread(asyncio.Protocol):
    """An end to connections whose client does not read what it is sent."""

    loop: AbstractEventLoop
    transport: Transport
    _writing: TimerHandle | None = None

    def connection_made(self, transport: BaseTransport) -> None:
        """A client has connected."""
        assert isinstance(transport, Transport)
        transport.set_write_buffer_limits(0)  # writing is paused while anything is unsent
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """A connection has ended."""
        if self._writing is not None:
            self._writing.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """A client does not read as fast as it is sent to."""
        super().pause_writing()
        self._writing = self.loop.call_later(WRITE_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """It has caught up."""
        super().resume_writing()
        if self._writing is not None:
            self._writing.cancel()


class PatientProtocol(_EndsUnread, H11Protocol):
    """uvicorn's, which waits for slow senders and readers for ever, with an end to that; its errors
    are JSON, as the service's are."""

    _waiting: TimerHandle | None = None

    def connection_made(self, transport: BaseTransport) -> None:
        """A client has connected."""
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS:
            self._refuse(503, "too many connections are open; try again later")
        self._wait_for_request()

    def data_received(self, data: bytes) -> None:
        """A client has sent something."""
        super().data_received(data)
        self._wait_for_request()

    def connection_lost(self, exc: Exception | None) -> None:
        """A connection has ended."""
        if self._waiting is not None:
            self._waiting.cancel()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """What has come is not HTTP."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._refuse(400, "that is not a valid HTTP request")
        self.transport.close()
        if self.cycle is not None:  # of that connection, a request's answer has nowhere to go
            self.cycle.disconnected = True
            self.cycle.message_event.set()

    def _refuse(self, status: int, error: str) -> None:
        body = json.dumps({"error": error}).encode()
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        response = h11.Response(
            status_code=status,
            headers=[*headers.items(), ("Connection", "close")],
            reason=HTTPStatus(status).phrase.encode(),
        )
        for event in (response, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _should_upgrade(self) -> bool:
        """Whether a request is to become a WebSocket; elsewhere the wish is passed over."""
        scope = self.scope
        # (some versions of websockets fail at others than ASCII)
        own = [value for name, value in self.headers if name.startswith(b"sec-websocket-")]
        return (
            scope["method"] == "GET"
            and scope["path"] == "/live"
            and all(value.isascii() for value in own)
            and super()._should_upgrade()
        )

    def _wait_for_request(self) -> None:
        """Count the time while a request has begun and its header is not whole, or none has come
        on a new connection, or one that has its answer goes on."""
        theirs = self.conn.their_state
        is_waiting = theirs is h11.IDLE or (
            theirs is h11.SEND_BODY and self.conn.our_state is h11.DONE
        )
        if is_waiting and self._waiting is None:
            self._waiting = self.loop.call_later(HEADER_SECONDS, self.transport.close)
        elif not is_waiting and self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None


class PatientSocket(_EndsUnread, WebSocketsSansIOProtocol):
    """uvicorn's, which leaves connections open that are no WebSocket, gathers any number of
    fragments, and fails where it is to write after a client's mistake; with an end to that."""

    _fragments = 0

    def data_received(self, data: bytes) -> None:
        """A client has sent something."""
        super().data_received(data)
        if self.conn.handshake_exc is not None:
            self.transport.close()

    async def send(self, message: ASGISendEvent) -> None:
        """The service says something to a client, which may be gone, or have been refused here."""
        await self.writable.wait()
        if self.close_sent and message["type"] == "websocket.send":
            raise ClientDisconnected
        await super().send(message)

    def handle_ping(self) -> None:
        """A client asks whether anybody is there; while it does not read it gets no more pongs."""
        if self.writable.is_set():
            super().handle_ping()
        else:
            self.conn.data_to_send()

    def handle_cont(self, event: Frame) -> None:
        """A further fragment of a message."""
        self._fragments = 0 if event.fin else self._fragments + 1
        if self._fragments <= FRAGMENTS:
            super().handle_cont(event)
        elif not self.close_sent:
            self.conn.fail(CloseCode.MESSAGE_TOO_BIG)
            self.handle_parser_exception()


def listen(host: str, port: int) -> socket.socket:
    """A socket that accepts connections there; port 0 is a free one.

    Raises:
        ConfigError: that is not possible.
    """
    if not 0 <= port < 65536:  # getaddrinfo would take what is left of it
        raise ConfigError(f"--port is {port}; it must be from 0 to 65535")
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.create_server(address[:2], family=family, backlog=BACKLOG)
        # Connections inherit it. Else an answer's second part waits until the client has said that
        # it has the first: 40 ms. (asyncio sees to it with the sockets that it makes.)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listening
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"cannot listen on {host} port {port}: {reason}; choose others by --host and --port"
        ) from None


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End in good order, and not once more by the signal; at the second one, at once."""
        self.force_exit = self.should_exit
        self.should_exit = True


def run(app: FastAPI, listening: socket.socket, limits: Limits, ready: Callable[[], None]) -> None:
    """Serve until SIGINT or SIGTERM, and finish what was accepted by then.

    Args:
        ready: is called when requests are answered.
    """
    config = uvicorn.Config(
        app,
        http=PatientProtocol,
        ws=PatientSocket,
        ws_max_size=limits.bytes,
        log_level="error",
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=FINISH_SECONDS,
    )
    # A client's mistakes are in its answer, and no errors of the service.
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)
    logging.getLogger("uvicorn.error").addFilter(lambda record: "UTF-8" not in str(record.msg))
    asyncio.run(_Server(config, ready).serve(sockets=[listening]))
