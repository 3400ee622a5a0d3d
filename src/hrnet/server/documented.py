"""What the service's OpenAPI description says of `/predict`, with examples that run."""

from typing import Any

from starlette.responses import Response

from hrnet.server.limits import Limits
from hrnet.server.requests import FIELD, Options

EXAMPLES = {
    "A picture's bytes": "curl --data-binary @photo.jpg 'http://127.0.0.1:8000/predict'",
    "A form": f"curl --form {FIELD}=@photo.jpg 'http://127.0.0.1:8000/predict'",
    "Boxes": f"curl --form {FIELD}=@photo.jpg --form 'boxes=[[24, 10, 210, 320]]' "
    "'http://127.0.0.1:8000/predict'",
    "The joints drawn in": "curl --data-binary @photo.jpg --output drawn.jpg "
    "'http://127.0.0.1:8000/predict?answer=image'",
}
_PICTURE = {"type": "string", "format": "binary"}
_JSON = {"application/json": {"schema": {"type": "object"}}}
_ERRORS = {
    400: "no picture, a broken one, or a wrong option",
    401: "the token is missing or wrong",
    403: "the request is from a page of another site",
    408: "the request came too slowly",
    413: "too many bytes or pixels",
    503: "too many requests are waiting; the header Retry-After says when to try again",
}


def _parameters() -> list[dict[str, Any]]:
    found = []
    for name, schema in Options.model_json_schema()["properties"].items():
        # In an address all of it is text.
        own = {"type": "string"} if name == "boxes" else schema
        description = schema.get("description", "")
        found.append({"name": name, "in": "query", "schema": own, "description": description})
        if name == "boxes":
            found[-1]["example"] = schema["examples"][0]
    return found


PREDICT: dict[str, Any] = {
    "summary": "The joints of the people in a picture",
    "response_class": Response,
    "responses": {
        200: {
            "description": "What `hrnet predict` writes for a picture, or the annotated picture.",
            "content": {**_JSON, "image/jpeg": {"schema": _PICTURE}},
        },
        **{
            status: {"description": f"`error`: {text}.", "content": _JSON}
            for status, text in _ERRORS.items()
        },
    },
    "openapi_extra": {
        "parameters": _parameters(),
        "requestBody": {
            "required": True,
            "content": {
                "application/octet-stream": {"schema": _PICTURE},
                "image/*": {"schema": _PICTURE},
                "multipart/form-data": {
                    "schema": {
                        "type": "object",
                        "required": [FIELD],
                        "properties": {
                            FIELD: _PICTURE,
                            **{option["name"]: option["schema"] for option in _parameters()},
                        },
                    }
                },
            },
        },
        "x-codeSamples": [
            {"lang": "Shell", "label": label, "source": source}
            for label, source in EXAMPLES.items()
        ],
    },
}


def describe(limits: Limits) -> str:
    """The service in a few sentences."""
    return (
        "Finds the joints of people in pictures. Coordinates are in pixels of the picture as "
        "shown, turned upright; (0, 0) is the centre of the top-left one. A request may have "
        f"{limits.bytes:,} bytes, a picture {limits.pixels:,} pixels and {limits.people} people. "
        "Addresses are never fetched: the picture itself is sent."
    )
