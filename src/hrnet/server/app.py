"""The service: its addresses, and what happens to a request on its way."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path
from time import perf_counter
from typing import Any

from fastapi import FastAPI, Request, WebSocket
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hrnet import __version__
from hrnet.errors import ImageError
from hrnet.images import encode_image
from hrnet.predicting.estimator import PoseEstimator
from hrnet.predicting.picture import Picture, PictureResult
from hrnet.server.batching import Answered
from hrnet.server.documented import PREDICT, describe
from hrnet.server.limits import Refused
from hrnet.server.live import serve_live
from hrnet.server.requests import READ, Options, read_request
from hrnet.server.service import Service

PAGE = Path(str(files("hrnet.server") / "page"))
SAMPLE = Path(str(files("hrnet.samples") / "group.jpg"))
GONE = 499  # in the log: the client did not wait for the answer
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; "
    "media-src 'self' blob:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def create_app(service: Service) -> FastAPI:
    """The service's web application."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if not service.is_ready:
            await asyncio.to_thread(service.start)
        yield
        await asyncio.to_thread(service.close)

    app = FastAPI(
        title="hrnet",
        version=__version__,
        description=describe(service.limits),
        lifespan=lifespan,
        docs_url=None,  # these fetch their scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,  # it would lead to whatever host the request names
    )
    app.add_middleware(_WithHeaders)

    @app.exception_handler(Refused)
    async def refused(request: Request, refusal: Refused) -> Response:
        return _error(request, refusal.status, refusal.error, refusal.headers)

    @app.exception_handler(HTTPException)
    async def not_found(request: Request, error: HTTPException) -> Response:
        path = request.scope["path"]  # (request.url may be no URL, by its host)
        said = f"there is nothing at {path}" if error.status_code == 404 else ""
        said = said or f"{request.method} {path}: {error.detail}"
        return _error(request, error.status_code, said, error.headers)

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> Response:
        return _error(request, 500, "something went wrong here; the log says what")

    @app.post("/predict", **PREDICT)
    async def predict(request: Request) -> Response:
        return await _predict(service, request)

    @app.get("/models", summary="The models that answer here; the first is the default")
    async def models(request: Request) -> dict[str, Any]:
        service.check_access(request)
        cards = [batcher.estimator.card for batcher in service.batchers.values()]
        names = service.batchers
        return {
            "models": [
                {
                    "name": name,
                    "description": card.description,
                    "of_people": card.skeleton.of_people,
                    "keypoints": list(card.skeleton.keypoints),
                }
                for name, card in zip(names, cards, strict=True)
            ]
        }

    @app.websocket("/live")
    async def live(socket: WebSocket) -> None:
        await serve_live(service, socket)

    @app.get("/health", summary="Whether the process runs")
    async def health() -> dict[str, str]:
        return {"status": "running"}

    @app.get("/ready", summary="Whether the models are loaded")
    async def ready() -> dict[str, str]:
        if not service.is_ready:
            raise Refused(503, "the models are not loaded", 1)
        return {"status": "ready"}

    @app.get("/metrics", summary="Figures for Prometheus", response_class=Response)
    async def metrics(request: Request) -> Response:
        service.check_access(request)
        figures = generate_latest(service.metrics.registry)
        return Response(figures, media_type=CONTENT_TYPE_LATEST)

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return FileResponse(PAGE / "index.html")

    @app.get("/page/sample.jpg", include_in_schema=False)
    async def sample() -> Response:
        return FileResponse(SAMPLE)

    app.mount("/page", _Page(directory=PAGE))
    return app


async def _predict(service: Service, request: Request) -> Response:
    """Answer a request, measure it, and say so in the log."""
    with service.logged("/predict", GONE) as line:
        try:
            begun = perf_counter()
            service.check_access(request)
            with service.admitted():
                data, options = await read_request(request, service.limits)
                received = perf_counter()
                line |= {"bytes": len(data)}
                boxes: Any = "whole" if options.detector == "whole" else options.boxes
                if options.detector == "whole" and options.boxes is not None:
                    raise Refused(400, "boxes say where the people are; leave out detector=whole")
                batcher = service.batcher(options.model)
                answer = service.predict(batcher, Picture(data, boxes))
                answered = await _while_there(request, answer)
                predicted = perf_counter()
                response = await asyncio.to_thread(
                    _response, batcher.estimator, answered.result, options
                )
        except ClientDisconnect:
            return Response(status_code=GONE)  # to nobody
        result = answered.result
        assert result.poses is not None
        steps = {
            "receive": received - begun,
            "queue": answered.waited,
            "predict": answered.computed,
            "write": perf_counter() - predicted,
        }
        for step, seconds in steps.items():
            service.metrics.seconds.labels(step).observe(seconds)
        line |= {"size": result.size, "people": len(result.poses), "batch": answered.shared}
        line |= {f"{step}_ms": round(1000 * seconds, 1) for step, seconds in steps.items()}
        line["status"] = 200
        return response


async def _while_there(request: Request, answer: Any) -> Answered:
    """The answer, unless the client goes before: then it is not computed, if it can be helped."""

    async def leaves() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    leaving, answering = asyncio.create_task(leaves()), asyncio.create_task(answer)
    try:
        await asyncio.wait({leaving, answering}, return_when=asyncio.FIRST_COMPLETED)
        if not answering.done():
            raise ClientDisconnect
        return answering.result()
    finally:
        leaving.cancel()
        answering.cancel()


def _response(estimator: PoseEstimator, result: PictureResult, options: Options) -> Response:
    assert result.poses is not None
    if options.answer == "image":
        drawn = result.poses.draw(result.pixels(), threshold=options.threshold)
        try:
            return Response(encode_image(drawn, ".jpg"), media_type="image/jpeg")
        except ImageError as error:  # longer than a JPEG may be
            raise Refused(400, f"the picture cannot be drawn on: {error}") from None
    answer = result.answer(file=options.name, path=options.name, model=estimator.about())
    return Response(json.dumps(answer, allow_nan=False), media_type="application/json")


def _error(
    request: Request, status: int, error: str, headers: Mapping[str, str] | None = None
) -> Response:
    kind = JSONResponse if READ in request.scope or request.method == "GET" else _Unread
    return kind({"error": error}, status, headers)


class _Unread(JSONResponse):
    """An answer to a request whose body was not read: it is read past the answer and thrown away.
    A connection that is closed while more comes is reset, and its client, which as a rule sends all
    before it reads, would see that and not the answer."""

    MOST, SECONDS = 100_000_000, 30.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [*self.raw_headers, (b"connection", b"close")]
        await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        try:
            async with asyncio.timeout(self.SECONDS):
                read, more = 0, True
                while more and read < self.MOST:
                    message = await receive()
                    read += len(message.get("body", b""))
                    more = message.get("more_body", False)
        except TimeoutError:
            pass
        await send({"type": "http.response.body", "body": b""})


class _Page(StaticFiles):
    """Before 1.0 Starlette fails at a zero byte, which no file's name has."""

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        return ("", None) if "\0" in path else super().lookup_path(path)


class _WithHeaders:
    """Adds HEADERS to every answer, and answers HEAD as GET: the server leaves the body out."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = [(key.lower().encode(), value.encode()) for key, value in HEADERS.items()]
                message["headers"] = [*message["headers"], *own]
            await send(message)

        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}
        await self.app(scope, receive, with_headers)
