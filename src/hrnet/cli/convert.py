"""`hrnet convert`: a public checkpoint to one file that describes itself."""

from pathlib import Path
from typing import Annotated

import typer

from hrnet.cli.console import console


def convert(
    checkpoint: Annotated[
        str, typer.Argument(help="A public HRNet's weights, of any make: a file, URL or hf:id.")
    ],
    out: Annotated[Path, typer.Argument(help="The .safetensors file to write.")],
    name: Annotated[
        str | None,
        typer.Option("--as", help="Which model of 'hrnet models list' it is. [default: by name]"),
    ] = None,
) -> None:
    """Write a checkpoint as safetensors that carry the model's card and skeleton."""

    from hrnet.errors import ConfigError
    from hrnet.zoo.build import convert as run

    if out.suffix != ".safetensors":
        raise ConfigError(f"{out} must end in .safetensors")
    report = run(checkpoint, out, name=name)
    screen = console()
    screen.print(str(report))
    screen.print(f"written: {out}")
