"""`hrnet evaluate`: a model's figures on an annotation file."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer


class BoxSource(StrEnum):
    """Where evaluation takes people's boxes from."""

    gt = "gt"


def evaluate(
    data: Annotated[Path, typer.Option(help="Annotation file in COCO's keypoint format.")],
    model: Annotated[
        str | None,
        typer.Option(help="A model's name, a file, or hf:owner/name. [default: the packaged]"),
    ] = None,
    weights: Annotated[
        str, typer.Option(help="A file, URL or hf:owner/name of other weights for the model.")
    ] = "default",
    boxes: Annotated[
        BoxSource, typer.Option(help="gt: the file's own, true boxes.")
    ] = BoxSource.gt,
    images: Annotated[
        Path | None, typer.Option(help="Folder of the pictures. [default: images beside the file]")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    flip_test: Annotated[
        bool, typer.Option("--flip-test", help="Average with the mirrored picture; half as fast.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Write the figures to this JSON file.")] = None,
) -> None:
    """Measure a model: PCK@0.2 of the torso, and OKS AP."""
    import json
    from dataclasses import asdict

    from rich.console import Console
    from rich.progress import Progress

    from hrnet.estimator import PoseEstimator
    from hrnet.evaluation.evaluate import evaluate as run
    from hrnet.files import atomic_write

    estimator = PoseEstimator(model, weights=weights, device=device, flip_test=flip_test)
    errors = Console(stderr=True)
    # Elsewhere than on a terminal it would leave an empty line.
    with Progress(console=errors, disable=not errors.is_terminal, transient=True) as progress:
        task = progress.add_task("evaluating")
        figures = run(
            estimator,
            data,
            images=images,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )

    protocol = figures.protocol
    width, height = protocol["input_size"]
    console = Console(soft_wrap=True, highlight=False, markup=False)
    console.print(
        f"{protocol['model']} on {data}: {protocol['people']} people, {boxes} boxes, "
        f"flip test {'on' if flip_test else 'off'}, input {width} x {height}, "
        f"codec {protocol['codec']}"
    )
    if figures.pck is not None:
        console.print(
            f"PCK@0.2 (torso)  {figures.pck.mean:6.2f}   {figures.pck.joints} joints of "
            f"{figures.pck.people} people with a labelled torso, face points not counted"
        )
        for name, value in figures.pck.per_joint.items():
            console.print(f"  {name:<14} {value:6.2f}")
    if figures.oks is not None:
        line = "  ".join(f"{name} {value:.3f}" for name, value in figures.oks.items())
        console.print(f"OKS  {line}")
    if out is not None:
        with atomic_write(out) as temporary:
            content = _without_nan(asdict(figures))
            temporary.write_text(json.dumps(content, indent=1, allow_nan=False), encoding="utf-8")


def _without_nan(value: Any) -> Any:
    """JSON has no NaN: a figure that nothing was counted for is null."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    return None if value != value else value
