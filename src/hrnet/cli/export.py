"""`hrnet export`: a model as one file that runs without this package."""

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hrnet.cli.console import console
from hrnet.cli.options import ModelName, OtherWeights

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEAST_CROPS, MOST_CROPS = 20, 300


def export(
    out: Annotated[
        Path,
        typer.Argument(
            help="The file to write: .onnx, .xml of OpenVINO with a .bin, or .pt2 of PyTorch."
        ),
    ],
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
    int8: Annotated[
        list[str] | None,
        typer.Option(
            help="Quantise an .xml by the people in these pictures, some 300 of them: a folder, a "
            "pattern or a file. Several of it may be given."
        ),
    ] = None,
) -> None:
    """Write a model as one file for any program: pictures in, points out, decoding and flip test
    included.

    `hrnet predict --model OUT` and `--detector OUT` run an .onnx or .xml without PyTorch. An .onnx
    runs wherever ONNX does; a .pt2 by torch.export.load alone.
    """
    from hrnet.errors import ConfigError
    from hrnet.exporting import export_detector, export_pose_model
    from hrnet.zoo.find import EXPORTED, PROGRAM

    if out.suffix not in (*EXPORTED, PROGRAM):
        raise ConfigError(f"{out} must end in .onnx, .xml or .pt2")
    if int8 and (out.suffix != ".xml" or detector is not None):
        raise ConfigError("--int8 is for a pose model, written as .xml")
    if detector is None:
        crops = _crops(int8, model, weights) if int8 else None
        name = export_pose_model(model, out, weights=weights, flip_test=flip_test, int8=crops)
    elif model is not None or weights != "default" or flip_test:
        raise ConfigError("--detector goes without --model, --weights and --flip-test")
    else:
        name = export_detector(detector, out)
    console().print(f"{name} is written to {out}")


def _crops(sources: list[str], model: str | None, weights: str) -> "NDArray[np.uint8]":
    """Of the people in pictures, as the model sees them."""
    import numpy as np

    from hrnet.errors import ConfigError
    from hrnet.images.sources import find_sources
    from hrnet.predicting.estimator import PoseEstimator
    from hrnet.predicting.picture import Picture

    estimator = PoseEstimator(model, weights=weights)
    pictures = (Picture(source.content()) for source in find_sources(sources))
    crops: list[NDArray[np.uint8]] = []
    with closing(estimator.stream(pictures, keep_pixels=True)) as results:
        for result in results:
            if result.error is not None:
                raise result.error
            crops += result.crops()
            if len(crops) >= MOST_CROPS:
                break
    if len(crops) < LEAST_CROPS:
        raise ConfigError(
            f"there are {len(crops)} people in {', '.join(sources)}; to quantise a model by, give "
            f"pictures of at least {LEAST_CROPS}, better of {MOST_CROPS}"
        )
    return np.stack(crops[:MOST_CROPS])
