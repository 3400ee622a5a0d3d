"""Labels corrected by the model that training starts from.

Crowd-sourced and machine-made labels have plain errors. A small network that saw each person some
forty times, never cropped alike, does not learn these by heart, and so can point them out.
"""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hrnet.data.people import People
from hrnet.evaluation.predictions import predict_people
from hrnet.files import atomic_write, sha256_of
from hrnet.predicting.estimator import PoseEstimator

# "correct": swap sides and take labels out; "complete": put joints in as well.
Relabel = Literal["correct", "complete"]

NEAR, FAR = 0.1, 0.15  # of the square root of the box's area
SWAPPED = 0.3  # by which share more of the labels agree with the model after the swap
SURE, VERY_SURE = 0.5, 0.7  # the model's score
KINDS = ("with left and right swapped", "labels taken out", "labels put in")

Points = NDArray[np.float64]


def relabel(
    people: People,
    estimator: PoseEstimator,
    kind: Relabel,
    cache: Path,
) -> tuple[People, dict[str, int]]:
    """People with `corrected` labels; how many changes of which kind.

    Args:
        people: of the estimator's skeleton.
        cache: folder where predictions are kept, so that a resumed run has the same labels at once.

    Raises:
        DataError, ImageError: see `hrnet.evaluation.predictions.predict_people`.
    """
    size = np.sqrt(np.prod(people.boxes[:, 2:] - people.boxes[:, :2], axis=1))
    predicted = _predicted(people, estimator, cache)
    labels, counts = corrected(
        people.keypoints, predicted, size, estimator.card.skeleton.flip_order, kind
    )
    return replace(people, keypoints=labels), dict(zip(KINDS, counts, strict=True))


def corrected(
    labels: Points,
    predicted: Points,
    size: NDArray[np.float64],
    flip_order: NDArray[np.int64],
    kind: Relabel = "correct",
) -> tuple[Points, tuple[int, int, int]]:
    """Labels without plain errors.

    - A person's left and right change places where that brings SWAPPED more of the labels to where
      the model sees the joints.
    - A label goes where the model is sure of another place: its score is over SURE, and the label
      further off than FAR times the person's size.
    - "complete" takes the model's joint, occluded or not, for one without a label where the model
      is very sure. It is for labels that lack joints by chance; not for COCO's, whose absence says
      that a joint is out of the picture.

    Args:
        labels: (P, K, 3) x, y in pixels and visibility.
        predicted: (P, K, 3) x, y in pixels and score.
        size: (P,) of each person: the square root of the box's area, in pixels.
        flip_order: (K,) which joint is on the other side.

    Returns:
        (P, K, 3), and how many people were swapped, labels taken out, and labels put in.
    """

    def distance(points: Points) -> NDArray[np.float64]:
        off: NDArray[np.float64] = np.linalg.norm(points[..., :2] - predicted[..., :2], axis=2)
        return off / size[:, None]

    def agreement(points: Points) -> NDArray[np.float64]:
        labelled = points[..., 2] > 0
        near = (distance(points) < NEAR) & labelled
        return near.sum(axis=1) / np.maximum(labelled.sum(axis=1), 1)

    other_side = labels[:, flip_order]
    swapped = agreement(other_side) > agreement(labels) + SWAPPED
    labels = np.where(swapped[:, None, None], other_side, labels)
    labelled, score = labels[..., 2] > 0, predicted[..., 2]
    wrong = labelled & (score > SURE) & (distance(labels) > FAR)
    labels = np.where(wrong[..., None], 0.0, labels)
    missing = np.zeros_like(wrong)
    if kind == "complete":
        missing = ~labelled & (score > VERY_SURE)
        found = np.concatenate([predicted[..., :2], np.full_like(score, 2.0)[..., None]], axis=2)
        labels = np.where(missing[..., None], found, labels)
    return labels, (int(swapped.sum()), int(wrong.sum()), int(missing.sum()))


def _predicted(people: People, estimator: PoseEstimator, cache: Path) -> Points:
    """(P, K, 3), made once: the file's name says of what, and by which weights."""
    assert estimator.runner.weights is not None
    made_of = sha256(sha256_of(estimator.runner.weights).encode())
    made_of.update("\n".join(map(str, people.files)).encode())
    made_of.update(people.boxes.tobytes())
    file = cache / f"{made_of.hexdigest()[:16]}.npy"
    if file.is_file():
        kept: Points = np.load(file, allow_pickle=False)
        return kept
    keypoints = predict_people(estimator, people).keypoints
    with atomic_write(file) as temporary, temporary.open("wb") as stream:
        np.save(stream, keypoints)
    return keypoints
