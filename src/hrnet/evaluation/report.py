"""An evaluation on disk: figures as JSON and Markdown, curves, and those predicted worst."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrnet.calibration import Reliability
from hrnet.drawing import contact_sheet, draw_poses
from hrnet.evaluation.evaluate import Evaluation
from hrnet.evaluation.predictions import NOBODY
from hrnet.files import atomic_write
from hrnet.geometry import crop_matrices, crop_regions, transform_points, warp
from hrnet.images import read_image, write_image

WORST = 24  # people on the sheet
CELL = (200, 200)  # width and height of a person there, in pixels


def write_report(evaluation: Evaluation, folder: str | Path) -> list[Path]:
    """Write figures.json, figures.md, worst.png and, where there is something to draw,
    curves.png, joints.png and reliability.png. Every file appears whole or not at all.

    Returns:
        The files.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    pictures = []
    if evaluation.curves:
        pictures.append((folder / "curves.png", _curves(evaluation)))
    if evaluation.per_joint:
        pictures.append((folder / "joints.png", _joints(evaluation)))
    if evaluation.reliability is not None:
        pictures.append((folder / "reliability.png", reliability_diagram(evaluation.reliability)))
    for file, figure in pictures:
        with atomic_write(file) as temporary:
            figure.savefig(temporary, format="png", dpi=120)
    sheet = folder / "worst.png"
    write_image(sheet, worst_people(evaluation))
    figures = folder / "figures.json"
    with atomic_write(figures) as temporary:
        content = json.dumps(to_dict(evaluation), indent=1, allow_nan=False)
        temporary.write_text(content, encoding="utf-8")
    table = folder / "figures.md"
    with atomic_write(table) as temporary:
        drawn = [file for file, _ in pictures] + [sheet]
        temporary.write_text(markdown(evaluation, drawn), encoding="utf-8")
    return [figures, table, *(file for file, _ in pictures), sheet]


def to_dict(evaluation: Evaluation) -> dict[str, Any]:
    """For JSON: schema version, figures, figures by joint, curves and protocol. What nothing was
    counted for is null."""
    content: dict[str, Any] = _without_nan(
        {
            "schema": 1,
            "figures": evaluation.figures,
            "per_joint": evaluation.per_joint,
            "curves": {
                name: {"thresholds": thresholds.tolist(), "values": values.tolist()}
                for name, (thresholds, values) in evaluation.curves.items()
            },
            "reliability": None
            if evaluation.reliability is None
            else {
                "probability": evaluation.reliability.probability.tolist(),
                "found": evaluation.reliability.found.tolist(),
                "joints": evaluation.reliability.counts.tolist(),
            },
            "protocol": evaluation.protocol,
        }
    )
    return content


def markdown(evaluation: Evaluation, pictures: list[Path]) -> str:
    """Tables of the figures and of those by joint, the protocol, and the pictures (by name)."""
    protocol = evaluation.protocol
    lines = [f"# {protocol['model']} on {Path(protocol['data']).name}", ""]
    lines += _table(["figure", "value"], [[n, shown(v)] for n, v in evaluation.figures.items()])
    if evaluation.per_joint:
        lines += _table(["joint", *evaluation.per_joint], joint_rows(evaluation))
    rows = [
        [f"{name} {key}".rstrip(), str(item)]
        for name, value in protocol.items()
        for key, item in (value.items() if isinstance(value, dict) else [("", value)])
    ]
    lines += _table(["protocol", ""], rows)
    for picture in pictures:
        lines += [f"![{picture.stem}]({picture.name})", ""]
    return "\n".join(lines)


def joint_rows(evaluation: Evaluation) -> list[list[str]]:
    """A row a joint: its name, and each figure of `per_joint` as printed."""
    tables = evaluation.per_joint.values()
    joints = dict.fromkeys(joint for table in tables for joint in table)
    return [[joint, *(shown(table.get(joint, math.nan)) for table in tables)] for joint in joints]


def shown(value: float) -> str:
    """A figure as printed: shares with three decimals, percentages and pixels with two."""
    if math.isnan(value):
        return "-"
    return f"{value:.3f}" if abs(value) <= 1 else f"{value:.2f}"


def worst_people(evaluation: Evaluation) -> NDArray[np.uint8]:
    """A sheet of those predicted worst, the worst first: true joints on the left, predicted ones on
    the right; (H, W, 3) uint8 RGB."""
    people, skeleton = evaluation.people, evaluation.skeleton
    tiles, captions = [], []
    measure = "OKS" if skeleton.sigmas is not None else "likeness"
    for i in np.argsort(evaluation.goodness, kind="stable")[:WORST]:
        centers, sizes = crop_regions(people.boxes[i], CELL)
        matrix = crop_matrices(centers, sizes, CELL)[0]
        image = read_image(people.files[i], orient=people.orient == "exif")
        crop = warp(image, matrix, CELL)
        true = people.keypoints[i]
        halves = [(true[:, :2], (true[:, 2] > 0).astype(np.float32))]
        if evaluation.matched[i] == NOBODY:
            halves.append((true[:, :2], np.zeros(len(true), np.float32)))
        else:
            predicted = evaluation.predictions.keypoints[evaluation.matched[i]]
            halves.append((predicted[:, :2], np.ones(len(true), np.float32)))
        tiles.append(
            np.hstack(
                [
                    draw_poses(
                        crop,
                        transform_points(matrix, points)[None].astype(np.float32),
                        scores[None],
                        skeleton,
                    )
                    for points, scores in halves
                ]
            )
        )
        captions.append(f"{measure} {evaluation.goodness[i]:.2f}  {people.files[i].name}")
    return contact_sheet(tiles, captions, columns=4)


def _curves(evaluation: Evaluation) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 4), layout="constrained")
    axes = figure.subplots()
    for name, (thresholds, values) in evaluation.curves.items():
        axes.plot(thresholds, values, label=name)
    axes.set(xlabel="threshold", ylabel="joints found, %", ylim=(0, 100))
    axes.margins(x=0)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    axes.set_title(_title(evaluation), fontsize=9)
    return figure


def _joints(evaluation: Evaluation) -> Any:
    """One panel a figure, since they have different units; up to 140 joints have room."""
    from matplotlib.figure import Figure

    tables = evaluation.per_joint
    count = max(len(table) for table in tables.values())
    figure = Figure(
        figsize=(3.2 * len(tables) + 1.5, 0.9 + 0.2 * min(count, 140)), layout="constrained"
    )
    panels = figure.subplots(1, len(tables), squeeze=False)[0]
    for axes, (name, table) in zip(panels, tables.items(), strict=True):
        joints = list(table)[::-1]
        axes.barh(joints, [table[joint] for joint in joints], height=0.7)
        axes.tick_params(axis="y", labelsize=7)
        axes.set_xlabel(name)
        axes.grid(axis="x", alpha=0.3)
        axes.margins(y=0.01)
    figure.suptitle(_title(evaluation), fontsize=9)
    return figure


def reliability_diagram(reliable: Reliability) -> Any:
    """A matplotlib figure: how many of the joints of each probability were found, and how many
    joints there are of it."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4, 5), layout="constrained")
    above, below = figure.subplots(2, 1, height_ratios=(4, 1), sharex=True)
    edges = np.linspace(0, 1, len(reliable.counts) + 1)
    width = 0.9 / len(reliable.counts)
    middles = (edges[:-1] + edges[1:]) / 2
    above.plot([0, 1], [0, 1], color="grey", linewidth=1)
    above.bar(middles, reliable.found, width, alpha=0.5)
    above.plot(reliable.probability, reliable.found, "o", markersize=4)
    above.set(ylabel="share found", ylim=(0, 1), title=f"ECE {reliable.error:.3f}")
    below.bar(middles, reliable.counts, width, alpha=0.5)
    below.set(xlabel="probability", ylabel="joints", xlim=(0, 1))
    return figure


def _title(evaluation: Evaluation) -> str:
    protocol = evaluation.protocol
    return f"{protocol['model']} on {Path(protocol['data']).name}, boxes: {protocol['boxes']}"


def _table(header: list[str], rows: list[list[str]]) -> list[str]:
    lines = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(cells) + " |" for cells in lines] + [""]


def _without_nan(value: Any) -> Any:
    """JSON has no NaN: a figure that nothing was counted for is null."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
