"""Write what legs 6 and 7 of the packaged model are trained on: Leeds Sports Pose, and apart from
it its extension, whose labels are crowd-sourced, without their plain errors.

    python scripts/clean_lsp.py DATA OUT [--model NAME|FILE]

DATA holds `lsp/train_coco17.json`. OUT gets `lsp.json`, with the labels as they are, and
`lsp_extended.json`, both without pictures (in a recipe: images="lsp/images"); in the second
- a person's arms and legs change sides where that brings SWAPPED more of their joints to where the
  model sees them;
- a joint of theirs goes unlabelled where the model is sure of another place: its score is over
  SURE, and the label further off than FAR times the square root of the box's area.

The model's predictions are those with the flip test. It saw these labels in training, but a small
network that saw each some forty times, never cropped alike, does not learn errors by heart.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrnet import PoseEstimator
from hrnet.data.annotations import read_annotations, write_annotations
from hrnet.data.coco import read_coco
from hrnet.evaluation.predictions import predict_people
from hrnet.skeletons import load_skeleton

FILE = "lsp/train_coco17.json"
LIMBS = slice(5, 17)  # of COCO's 17; the face's points are machine guesses
OTHER_SIDE = np.where(np.arange(17) < 5, np.arange(17), load_skeleton("coco17").flip_order)
NEAR, FAR = 0.1, 0.15  # of the square root of the box's area
SWAPPED = 0.3
SURE = 0.5


def cleaned(
    labels: NDArray[np.float64], predicted: NDArray[np.float64], size: NDArray[np.float64]
) -> tuple[NDArray[np.float64], int, int]:
    """Labels (N, 17, 3) without plain errors; how many people were swapped and joints taken out.

    Args:
        labels: x, y, visibility in pixels.
        predicted: (N, 17, 3), x, y, score.
        size: (N,), pixels.
    """

    def agreement(points: NDArray[np.float64]) -> NDArray[np.float64]:
        near = _distance(points, predicted) < NEAR * size[:, None]
        labelled = points[:, LIMBS, 2] > 0
        return (near & labelled).sum(1) / np.maximum(labelled.sum(1), 1)

    swapped = agreement(labels[:, OTHER_SIDE]) > agreement(labels) + SWAPPED
    labels = np.where(swapped[:, None, None], labels[:, OTHER_SIDE], labels)
    wrong = np.zeros(labels.shape[:2], bool)
    wrong[:, LIMBS] = (_distance(labels, predicted) > FAR * size[:, None]) & (
        predicted[:, LIMBS, 2] > SURE
    )
    wrong &= labels[:, :, 2] > 0
    return np.where(wrong[:, :, None], 0.0, labels), int(swapped.sum()), int(wrong.sum())


def _distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.linalg.norm(a[:, LIMBS, :2] - b[:, LIMBS, :2], axis=2)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", default="hrnet_w32_small_coco17")
    arguments = parser.parse_args()

    people = read_coco(arguments.data / FILE)
    content = read_annotations(arguments.data / FILE)
    by_id = {annotation["id"]: annotation for annotation in content["annotations"]}
    extended = np.array([file.name.startswith("lspet_") for file in people.files])
    to_clean = people.select(extended)
    predicted = predict_people(PoseEstimator(arguments.model, flip_test=True), to_clean).keypoints
    boxes = [by_id[int(i)]["bbox"] for i in to_clean.annotation_ids]
    size = np.sqrt([width * height for _, _, width, height in boxes])
    labels, swapped, taken_out = cleaned(to_clean.keypoints, predicted, size)
    limbs = int((to_clean.keypoints[:, LIMBS, 2] > 0).sum())
    print(f"{swapped} of {len(labels)} people swapped, {taken_out} of {limbs} labels taken out")

    original = [by_id[int(i)] for i in people.annotation_ids[~extended]]
    corrected = [
        by_id[int(i)]
        | {
            "keypoints": [round(float(value), 2) for value in points.ravel()],
            "num_keypoints": int((points[:, 2] > 0).sum()),
        }
        for i, points in zip(to_clean.annotation_ids, labels, strict=True)
    ]
    write_annotations(
        {
            arguments.out / "lsp.json": _of(content, original),
            arguments.out / "lsp_extended.json": _of(content, corrected),
        }
    )


def _of(content: dict[str, Any], annotations: list[dict[str, Any]]) -> dict[str, Any]:
    shown = {a["image_id"] for a in annotations}
    images = [image for image in content["images"] if image["id"] in shown]
    return content | {"images": images, "annotations": annotations}


if __name__ == "__main__":
    main()
