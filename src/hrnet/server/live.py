"""Live frames over a WebSocket: the newest is looked at, older ones that wait are dropped."""

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from hrnet.errors import ConfigError
from hrnet.predicting.picture import Picture, PictureResult
from hrnet.server.batching import Batcher
from hrnet.server.limits import Refused
from hrnet.server.requests import check_pixels
from hrnet.server.service import Service
from hrnet.tables import validate
from hrnet.video.smoothing import Smoother
from hrnet.video.tracking import Tracker

POLICY, LATER = 1008, 1013  # closing codes of RFC 6455: against the rules; try again later
OPTIONS = 10_000  # characters that the first message may have


class LiveOptions(BaseModel):
    """The first message of a connection."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = None
    detector: Literal["auto", "whole"] = "auto"
    smooth: bool = True
    token: str | None = None


@dataclass
class _Counts:
    """Of the frames of a connection."""

    frames: int = 0
    answered: int = 0


async def serve_live(service: Service, socket: WebSocket) -> None:
    """A connection: options, as JSON in a text message; then an encoded frame a binary message, and
    the poses of each that was looked at, as `/predict` answers, with `track_id` and `frame`, its
    number among those sent. What became of it goes to the log."""
    counts = _Counts()
    with suppress(Refused), service.logged("/live", 101) as line:
        try:
            service.check_origin(socket)
            await socket.accept()
            options = await _read_options(service, socket)
            with service.admitted_live():
                batcher = service.batcher(options.model)
                await socket.send_json({"ready": True})
                await _serve_frames(service, socket, batcher, options, counts)
        except Refused as refusal:
            with suppress(WebSocketDisconnect, RuntimeError):  # gone by now
                await _refuse(socket, refusal)
            raise
        except WebSocketDisconnect:
            return
        finally:
            line |= {"frames": counts.frames, "answered": counts.answered}


async def _refuse(socket: WebSocket, refusal: Refused) -> None:
    if socket.application_state is WebSocketState.CONNECTED:  # else the handshake gets a 403
        await socket.send_json({"error": refusal.error})
    await socket.close(LATER if refusal.status == 503 else POLICY)


async def _read_options(service: Service, socket: WebSocket) -> LiveOptions:
    try:
        async with asyncio.timeout(service.limits.seconds):
            message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message["code"])
        if len(message["text"]) > OPTIONS:
            raise ValueError
        options = validate(LiveOptions, json.loads(message["text"]), "the first message")
    except (TimeoutError, KeyError, TypeError, ValueError, RecursionError):
        raise Refused(400, "the first message must be the options, as JSON in text") from None
    except ConfigError as error:
        raise Refused(400, str(error)) from None
    # Browsers send no header with a WebSocket.
    if options.token is None:
        service.check_access(socket)
    else:
        service.check_token(options.token)
    return options


async def _serve_frames(
    service: Service, socket: WebSocket, batcher: Batcher, options: LiveOptions, counts: _Counts
) -> None:
    newest: asyncio.Queue[tuple[int, float, bytes]] = asyncio.Queue(maxsize=1)

    async def receive() -> None:
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            if newest.full():
                newest.get_nowait()
                service.metrics.dropped.inc()
            newest.put_nowait((counts.frames, perf_counter(), message.get("bytes") or b""))
            counts.frames += 1

    tracker, smoother = Tracker(), Smoother()

    def follow(result: PictureResult, time: float) -> PictureResult:
        assert result.poses is not None
        poses = tracker(result.poses, time, result.pixels())
        return replace(result, poses=smoother(poses, time) if options.smooth else poses)

    async def answer() -> None:
        while True:
            number, time, data = await newest.get()
            try:
                await check_pixels(data, service.limits)
                boxes: Any = "whole" if options.detector == "whole" else None
                result = (await service.predict(batcher, Picture(data, boxes))).result
            except Refused as refusal:
                await socket.send_json({"error": refusal.error, "frame": number})
                continue
            # Decoding and tracking would keep other requests waiting.
            result = await asyncio.to_thread(follow, result, time)
            about = batcher.estimator.about()
            content = result.answer(file="", path="", model=about)
            await socket.send_text(json.dumps({**content, "frame": number}, allow_nan=False))
            counts.answered += 1

    receiving, answering = asyncio.create_task(receive()), asyncio.create_task(answer())
    try:
        done, _ = await asyncio.wait({receiving, answering}, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        receiving.cancel()
        answering.cancel()
        await asyncio.gather(receiving, answering, return_exceptions=True)
