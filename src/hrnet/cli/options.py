"""Options that several commands have."""

from typing import Annotated

import typer

ModelName = Annotated[
    str | None,
    typer.Option(help="A model's name, a file, or hf:owner/name. [default: the packaged]"),
]
OtherWeights = Annotated[
    str, typer.Option(help="A file, URL or hf:owner/name of other weights for the model.")
]
