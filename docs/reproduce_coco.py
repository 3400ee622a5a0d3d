"""A model's AP on COCO val2017, measured here, beside the published one.

    python docs/reproduce_coco.py MODEL COCO [--detections FILE] [--weights FILE]

MODEL is a name of `hrnet models list` or a weights file that carries its card. COCO is a folder
with annotations/person_keypoints_val2017.json and val2017/, or an annotation file with its pictures
in images/ or beside it.

Published figures are mostly with the boxes of a detector of 56.4 AP for people
(COCO_val2017_detections_AP_H_56_person.json, which the official repository links to) and the flip
test: give that file as --detections. Without it, boxes are the true ones, and the figure is higher
than that of detected boxes. The protocol is the official one: a pose scores its box's score times
the mean of the joint scores over 0.2, and of poses alike by OKS over 0.9 the best stays.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hrnet import HRNetError, PoseEstimator
from hrnet.data.coco import read_coco
from hrnet.estimator import Picture
from hrnet.evaluation.oks import oks_ap
from hrnet.geometry import crop_regions
from hrnet.images import read_image
from hrnet.result import Poses

OKS_NMS = 0.9


def find(folder: Path) -> tuple[Path, Path]:
    """Annotation file and folder of pictures."""
    if folder.is_dir():
        return folder / "annotations" / "person_keypoints_val2017.json", folder / "val2017"
    images = folder.parent / "images"
    return folder, images if images.is_dir() else folder.parent


def true_boxes(annotations: Path) -> dict[int, list[list[float]]]:
    people = read_coco(annotations)
    boxes: dict[int, list[list[float]]] = {}
    for image, box in zip(people.image_ids, people.boxes, strict=True):
        boxes.setdefault(int(image), []).append([*box, 1.0])
    return boxes


def detected_boxes(file: Path) -> dict[int, list[list[float]]]:
    boxes: dict[int, list[list[float]]] = {}
    for row in json.loads(file.read_text()):
        x, y, width, height = row["bbox"]
        if row["category_id"] == 1 and min(width, height) > 0.001:
            boxes.setdefault(row["image_id"], []).append(
                [x, y, x + width, y + height, min(row["score"], 1.0)]
            )
    return boxes


def survivors(poses: Poses, areas: np.ndarray, sigmas: np.ndarray) -> list[int]:
    """Positions of the poses that no better one resembles, as the official `oks_nms` has them."""
    kept: list[int] = []
    for i in np.argsort(-poses.pose_scores, kind="stable"):
        squared = ((poses.keypoints[kept] - poses.keypoints[i]) ** 2).sum(axis=2)
        area = (areas[kept] + areas[i])[:, None] / 2
        oks = np.exp(-squared / (2 * sigmas) ** 2 / area / 2).mean(axis=1)
        if not (oks > OKS_NMS).any():
            kept.append(int(i))
    return kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("coco", type=Path)
    parser.add_argument("--detections", type=Path)
    parser.add_argument("--weights", default="default", help="a file, or 'random' to try this out")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--no-flip-test", action="store_true")
    options = parser.parse_args()

    weights = None if options.weights == "random" else options.weights
    flip_test = not options.no_flip_test
    estimator = PoseEstimator(
        options.model, weights=weights, device=options.device, flip_test=flip_test
    )
    annotations, folder = find(options.coco)
    boxes = detected_boxes(options.detections) if options.detections else true_boxes(annotations)
    pictures = json.loads(annotations.read_text())["images"]

    def prepared() -> Iterator[Picture]:
        for picture in pictures:
            if picture["id"] in boxes:
                image = read_image(folder / picture["file_name"], orient=False)
                yield estimator.prepare(image, boxes[picture["id"]], key=picture["id"])

    sigmas = np.array(estimator.card.skeleton.sigmas)
    results: list[dict[str, Any]] = []
    for done, (picture, poses) in enumerate(estimator.stream(prepared()), start=1):
        _, sizes = crop_regions(poses.boxes, estimator.card.input_size, estimator.padding)
        rows = poses.to_coco(picture.key)
        results += [rows[i] for i in survivors(poses, sizes.prod(axis=1), sigmas)]
        if done % 100 == 0:
            print(f"{done} pictures", file=sys.stderr, flush=True)

    measured = oks_ap(annotations, results, estimator.card.skeleton)
    source = f"boxes of {options.detections.name}" if options.detections else "true boxes"
    print(f"{estimator.card.name}: {len(results)} poses in {len(pictures)} pictures, {source}")
    print(f"flip test {'on' if flip_test else 'off'}")
    for name, value in measured.items():
        print(f"  {name:<6} {value:.3f}")
    print("published:" if estimator.card.figures else "published: nothing")
    for figure in estimator.card.figures:
        test = "with" if figure.flip_test else "without"
        print(
            f"  {figure.metric:<6} {figure.value:.3f}   {figure.data}, boxes: {figure.boxes}, "
            f"{test} flip test"
        )


if __name__ == "__main__":
    try:
        main()
    except HRNetError as error:
        sys.exit(f"{error}")
