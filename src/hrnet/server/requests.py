"""What a request holds: a picture, and how it is to be looked at."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from hrnet.errors import ConfigError
from hrnet.images.headers import read_header
from hrnet.server.limits import Limits, Refused
from hrnet.tables import validate

READ = "hrnet.body_read"  # in a request's scope: nothing of its body is left
FIELD = "picture"  # of a form


class Options(BaseModel):
    """How a picture is to be looked at."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = Field(None, description="One of /models; without it the first.")
    detector: Literal["auto", "whole"] = Field(
        "auto", description="`auto`: people are found; `whole`: the picture is one person."
    )
    boxes: list[list[float]] | None = Field(
        None,
        description="Where the people are, as JSON: [[x1, y1, x2, y2], ...] in pixels of the "
        "picture as shown, turned upright; a fifth number is a box's score.",
        examples=["[[24, 10, 210, 320]]"],
    )
    answer: Literal["json", "image"] = Field(
        "json", description="`json`: the joints; `image`: a JPEG with them drawn in."
    )
    threshold: float = Field(
        0.2, ge=0, le=1, description="Joints less probable than that are not drawn."
    )
    name: str = Field("", max_length=255, description="Of the picture; the answer repeats it.")

    @field_validator("boxes", mode="before")
    @classmethod
    def _read_boxes(cls, value: Any) -> Any:
        try:
            return json.loads(value) if isinstance(value, str) else value
        except (ValueError, RecursionError):
            raise ValueError("it must be JSON, such as [[24, 10, 210, 320]]") from None


async def read_request(request: Request, limits: Limits) -> tuple[bytes, Options]:
    """The picture's bytes, and the options in the address, or in the form that it came with.

    Raises:
        Refused: there is no picture, it is too large or comes too slowly, or an option is wrong.
        ClientDisconnect: the client is gone.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limits.bytes:
        raise _too_long(limits)
    try:
        async with asyncio.timeout(limits.seconds):
            body = await _read_body(request, limits)
    except TimeoutError:
        seconds = f"{limits.seconds:g}"
        raise Refused(408, f"the request took more than {seconds} seconds to arrive") from None
    given, name = request.query_params.multi_items(), ""
    if request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        body, name, fields = await _read_form(request, body)
        given += fields
    content = dict(given)
    if len(content) < len(given):
        twice = next(key for key in content if sum(key == other for other, _ in given) > 1)
        raise Refused(400, f"the request: {twice!r} is given twice")
    try:
        options = validate(Options, {"name": name, **content}, "the request")
    except ConfigError as error:
        raise Refused(400, str(error)) from None
    if options.boxes is not None and len(options.boxes) > limits.people:
        raise Refused(
            400, f"the request: boxes: there are {len(options.boxes)}, more than {limits.people}"
        )
    if not body:
        raise Refused(
            400, f"the request has no picture; send its bytes, or a form with the file {FIELD!r}"
        )
    await check_pixels(body, limits)
    return body, options


async def check_pixels(data: bytes, limits: Limits) -> None:
    """Refuse an encoded picture that declares too many, before it is decoded."""
    header = await asyncio.to_thread(read_header, data)  # seconds, of some that are meant so
    if header is not None and header.size is not None:
        width, height = header.size
        if width * height > limits.pixels:
            raise Refused(
                413,
                f"the picture has {width} x {height} pixels, more than {limits.pixels:,}; make it "
                "smaller",
            )


async def _read_body(request: Request, limits: Limits) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > limits.bytes:
            raise _too_long(limits)
    request.scope[READ] = True
    return bytes(body)


def _too_long(limits: Limits) -> Refused:
    return Refused(413, f"the request has more than {limits.bytes:,} bytes; send a smaller picture")


async def _read_form(request: Request, body: bytes) -> tuple[bytes, str, list[tuple[str, str]]]:
    """The picture, the name of its file, and what else is in the form."""

    async def whole() -> AsyncGenerator[bytes]:
        yield body
        yield b""

    most = len(Options.model_fields)
    parser = MultiPartParser(request.headers, whole(), max_files=1, max_fields=most)
    parser.spool_max_size = len(body) + 1  # in memory, as it is already
    try:
        form = await parser.parse()
    except (MultiPartException, ValueError) as error:
        reason = getattr(error, "message", None) or "it is not as its Content-Type says"
        raise Refused(400, f"the form cannot be read: {reason}") from None
    fields: list[tuple[str, str]] = []
    picture, file_name = b"", ""
    for name, value in form.multi_items():
        if isinstance(value, UploadFile) and name == FIELD:
            picture, file_name = await value.read(), (value.filename or "")[:255]
        elif isinstance(value, UploadFile):
            raise Refused(400, f"the form's file is called {name!r}; it must be {FIELD!r}")
        elif name == FIELD:
            raise Refused(400, f"the form's {FIELD!r} is text; it must be the file itself")
        else:
            fields.append((name, value))
    return picture, file_name, fields
