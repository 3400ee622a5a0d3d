"""A model's figures on an annotation file: prediction with the boxes given, plus metrics."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hrnet.data.coco import read_coco
from hrnet.data.people import People
from hrnet.errors import BoxError, DataError
from hrnet.estimator import Picture, PoseEstimator
from hrnet.evaluation.oks import oks_ap
from hrnet.evaluation.pck import PCK, pck
from hrnet.images import read_image


@dataclass(frozen=True)
class Evaluation:
    """Figures with their protocol.

    Attributes:
        pck: PCK@0.2 of the torso, or None where the skeleton names no torso.
        oks: COCO's AP and AR, 0 to 1, or None where the skeleton has no sigmas.
        protocol: what makes the figures comparable: model, data and its sha256, boxes, flip test,
            input size, codec, people.
    """

    pck: PCK | None
    oks: dict[str, float] | None
    protocol: dict[str, Any]


def evaluate(
    estimator: PoseEstimator,
    file: str | Path,
    *,
    images: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Evaluate with true boxes on a COCO keypoint file.

    A person's score, which ranks predictions for AP, is the mean of the joint scores over 0.2.

    Args:
        images: folder of the pictures; by default `images` beside the file.
        progress: called with people done and people in all.

    Raises:
        DataError: the file is missing, broken, has other keypoints than the model, or a box
            outside its picture.
        ImageError: a picture is missing or broken.
    """
    people = read_coco(file, images)
    skeleton = estimator.card.skeleton
    if tuple(people.names) != skeleton.keypoints:
        raise DataError(
            f"{file} has the {len(people.names)} keypoints {', '.join(people.names)}; the model "
            f"{estimator.card.name} has the {len(skeleton)} of {skeleton.name}"
        )
    if len(people) == 0:
        raise DataError(f"{file} has no people with labelled keypoints")

    predicted = np.zeros((len(people), len(skeleton), 3))
    results: list[dict[str, Any]] = []
    for picture, poses in estimator.stream(_pictures(estimator, people)):
        index = picture.key
        predicted[index] = np.concatenate([poses.keypoints, poses.scores[..., None]], axis=2)
        results += poses.to_coco(int(people.image_ids[index[0]]))
        if progress is not None:
            progress(len(results), len(people))

    return Evaluation(
        pck=pck(predicted, people.keypoints, skeleton) if skeleton.torso else None,
        oks=oks_ap(file, results, skeleton) if skeleton.sigmas else None,
        protocol={
            "model": estimator.card.name,
            "data": str(file),
            "data_sha256": hashlib.sha256(Path(file).read_bytes()).hexdigest(),
            "people": len(people),
            "boxes": "gt",
            "padding": estimator.padding,
            "flip_test": estimator.flip_test,
            "input_size": list(estimator.card.input_size),
            "codec": estimator.card.codec.kind,
        },
    )


def _pictures(estimator: PoseEstimator, people: People) -> Iterator[Picture]:
    """Each picture once with all its people's boxes; its key is their positions."""
    by_image: dict[Path, list[int]] = {}
    for i, file in enumerate(people.files):
        by_image.setdefault(file, []).append(i)
    for file, index in by_image.items():
        image = read_image(file, orient=False)
        try:
            yield estimator.prepare(image, people.boxes[index], key=index)
        except BoxError as error:  # the annotations are of another size of it
            raise DataError(f"the annotations do not fit {file}: {error}") from None
