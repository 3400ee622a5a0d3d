"""`hrnet export`: a model as one file that runs without PyTorch."""

from pathlib import Path
from typing import Annotated

import typer

from hrnet.cli.console import console
from hrnet.cli.options import ModelName, OtherWeights


def export(
    out: Annotated[Path, typer.Argument(help="The .onnx file to write.")],
    model: ModelName = None,
    weights: OtherWeights = "default",
    detector: Annotated[
        str | None,
        typer.Option(
            help="Export a person detector instead: auto (the one in the package), or a weights "
            "file."
        ),
    ] = None,
    flip_test: Annotated[
        bool, typer.Option("--flip-test", help="Average with the mirrored crop; half as fast.")
    ] = False,
) -> None:
    """Write a model as ONNX: pictures in, points out, decoding and flip test included.

    `hrnet predict --model OUT` and `--detector OUT` run it, as does any program that runs ONNX.
    """
    from hrnet.errors import ConfigError
    from hrnet.exporting import export_detector, export_pose_model

    if out.suffix != ".onnx":
        raise ConfigError(f"{out} must end in .onnx")
    if detector is None:
        name = export_pose_model(model, out, weights=weights, flip_test=flip_test)
    elif model is not None or weights != "default" or flip_test:
        raise ConfigError("--detector goes without --model, --weights and --flip-test")
    else:
        name = export_detector(detector, out)
    console().print(f"{name} is written to {out}")
