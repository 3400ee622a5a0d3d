"""`hrnet evaluate`: a model's figures on an annotation file."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hrnet.cli.console import console, progress_bar
from hrnet.cli.data import Orient
from hrnet.cli.options import Device, FlipTest, ModelName, OtherWeights, Precision, Runtime

if TYPE_CHECKING:
    from hrnet.evaluation.evaluate import Evaluation
    from hrnet.predicting.estimator import PoseEstimator


class Protocol(StrEnum):
    """Whose conventions to follow where the public programs differ."""

    official = "official"
    mmpose = "mmpose"


def evaluate(
    data: Annotated[Path, typer.Option(help="Annotation file, COCO's keypoint format or MPII's.")],
    model: ModelName = None,
    weights: OtherWeights = "default",
    boxes: Annotated[
        str, typer.Option(help="gt: the file's own, true boxes; or a COCO detections file.")
    ] = "gt",
    detector: Annotated[
        str | None,
        typer.Option(
            help="What finds the boxes, as for predict: it is measured too, by box AP and recall."
        ),
    ] = None,
    ignore: Annotated[
        Path | None,
        typer.Option(
            help="COCO detections of people whom DATA does not list: for --detector, boxes on them "
            "are neither right nor wrong."
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(help="Folder of the pictures. [default: images beside the file, or its own]"),
    ] = None,
    device: Device = "auto",
    runtime: Runtime = "auto",
    precision: Precision = "fp32",
    flip_test: FlipTest = False,
    protocol: Annotated[
        Protocol,
        typer.Option(help="Whose conventions to follow where the two differ."),
    ] = Protocol.official,
    orient: Annotated[
        Orient,
        typer.Option(
            help="What the pixels of DATA, BOXES and predictions are of where EXIF data turn a "
            "picture: those stored, or of the picture turned upright."
        ),
    ] = Orient.stored,
    predictions: Annotated[
        Path | None,
        typer.Option(help="Evaluate this COCO results file, made elsewhere, instead of a model."),
    ] = None,
    skeleton: Annotated[
        str | None,
        typer.Option(
            help="What the keypoints of --predictions are: a name, a TOML file, or data: what the "
            "annotation file says. [default: data]"
        ),
    ] = None,
    save_predictions: Annotated[
        Path | None, typer.Option(help="Write what was predicted as a COCO results file.")
    ] = None,
    calibrate: Annotated[
        Path | None,
        typer.Option(
            help="Fit the joints' probabilities on these people, and write the model with them."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Write a report into this folder: JSON, Markdown, curves, worst people."),
    ] = None,
) -> None:
    """Measure a model: OKS AP, PCK, PCKh, NME, ..., as the data set is measured by."""
    import json

    from rich.table import Table

    from hrnet.data.people import in_words
    from hrnet.data.reading import read_skeleton
    from hrnet.detection.coco_detections import passed_over_in_words
    from hrnet.detection.find import find_detector
    from hrnet.errors import ConfigError
    from hrnet.evaluation.evaluate import evaluate as run
    from hrnet.evaluation.evaluate import evaluate_predictions
    from hrnet.evaluation.predictions import read_predictions
    from hrnet.evaluation.report import joint_rows, shown, write_report
    from hrnet.files import atomic_write
    from hrnet.predicting.estimator import PoseEstimator
    from hrnet.runtime.execution import Execution
    from hrnet.skeletons import find_skeleton

    # Not found out after everything is predicted.
    if out is not None and out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out} is a file; give a folder to write the report into")
    if save_predictions is not None and save_predictions.is_dir():
        raise ConfigError(f"--save-predictions {save_predictions} is a folder; give a file")
    if calibrate is not None and calibrate.suffix != ".safetensors":
        raise ConfigError(f"--calibrate {calibrate}: name a file that ends in .safetensors")
    if detector is not None and boxes != "gt":
        raise ConfigError("--boxes say where the people are; leave out --detector")
    if ignore is not None and detector is None:
        raise ConfigError("--ignore is for --detector; give both")
    if predictions is not None:
        if calibrate is not None:
            raise ConfigError("--calibrate is for a model; leave out --predictions")
        defaults = (None, "default", "gt", None, "auto", "auto", "fp32", False)
        if (model, weights, boxes, detector, device, runtime, precision, flip_test) != defaults:
            raise ConfigError(
                "--predictions are evaluated as they are; leave out --model, --weights, --boxes, "
                "--detector, --device, --runtime, --precision and --flip-test"
            )
        points = read_skeleton(data) if skeleton in (None, "data") else find_skeleton(skeleton)
        found = read_predictions(predictions, points)
        figures = evaluate_predictions(
            found,
            data,
            points,
            images=images,
            protocol=protocol.value,
            orient=orient.value,
            name=predictions.name,
        )
    else:
        if skeleton is not None:
            raise ConfigError("--skeleton is for --predictions; a model has its own")
        estimator = PoseEstimator(
            model,
            weights=weights,
            device=device,
            runtime=runtime,
            precision=precision,
            flip_test=flip_test,
        )
        execution = Execution(device, runtime, precision)
        with progress_bar("evaluating") as progress:
            figures = run(
                estimator,
                data,
                images=images,
                boxes=boxes,
                detector=None if detector is None else find_detector(detector, execution),
                ignore=ignore,
                protocol=protocol.value,
                orient=orient.value,
                progress=progress,
            )

    about = figures.protocol
    screen = console()
    line = f"{about['model']} on {data}: {in_words(about)}"
    if boxes != "gt" or detector is not None:
        line += f", {about['predictions']} detected boxes used"
        if about["boxes_passed_over"]:
            line += f" (passed over: {passed_over_in_words(about['boxes_passed_over'])})"
    if predictions is None:
        width, height = about["input_size"]
        line += (
            f", boxes: {about['boxes']}, flip test {'on' if flip_test else 'off'}, "
            f"input {width} x {height}, codec {about['codec']}, {about['runs']}"
        )
    if about["people_without_prediction"]:
        line += f"; for {about['people_without_prediction']} there is no prediction"
    screen.print(line)
    for name, value in figures.figures.items():
        note = about["measures"].get(name)
        screen.print(f"  {name:<14} {shown(value):>7}{f'   {note}' if note else ''}")
    if figures.per_joint:
        table = Table("joint", box=None, header_style="")
        for name in figures.per_joint:
            table.add_column(name, justify="right")
        for row in joint_rows(figures):
            table.add_row(*row)
        screen.print(table)

    if save_predictions is not None:
        with atomic_write(save_predictions) as temporary:
            rows = figures.predictions.to_coco(boxes=protocol is Protocol.mmpose)
            temporary.write_text(json.dumps(rows), encoding="utf-8")
    if calibrate is not None:
        screen.print(_calibrate(estimator, figures, calibrate))
    if out is not None:
        for file in write_report(figures, out):
            screen.print(f"wrote {file}")


def _calibrate(estimator: "PoseEstimator", evaluation: "Evaluation", file: Path) -> str:
    """Write the model with a calibration fitted on those evaluated; what to say of it."""
    from hrnet.errors import ConfigError
    from hrnet.evaluation.calibrating import calibrate, cross_validated, judge, measured_reliability
    from hrnet.zoo.build import save_with_card

    predictions, card = evaluation.predictions, estimator.card
    weights = estimator.runner.weights
    if weights is None:
        raise ConfigError("--calibrate needs a model with weights; these are random")
    assert predictions.evidence is not None
    judged = judge(evaluation.people, predictions, evaluation.matched, card.skeleton)
    error = measured_reliability(judged, cross_validated(judged, predictions.evidence)).error
    where = f"{len(judged.rows)} people of {Path(evaluation.protocol['data']).name}"
    fitted = calibrate(judged, predictions.evidence, where)
    save_with_card(weights, card.model_copy(update={"calibration": fitted, "weights": None}), file)
    return (
        f"wrote {file}, whose joints have probabilities fitted on {where} "
        f"(expected calibration error {error:.3f}, each half of the pictures by the other)"
    )
