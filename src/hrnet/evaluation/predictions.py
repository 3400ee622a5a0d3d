"""Predictions to evaluate: made here with boxes given, or elsewhere, as a COCO results file."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hrnet.data.coco import SCALE_UNIT
from hrnet.data.people import Orient, People
from hrnet.detection.boxes import LARGEST
from hrnet.detection.coco_detections import read_detections
from hrnet.errors import BoxError, DataError
from hrnet.geometry import crop_regions
from hrnet.predicting.estimator import PoseEstimator
from hrnet.predicting.picture import Picture
from hrnet.similarity import found_once, likest_pairs, oks_nms, sigmas_of
from hrnet.skeletons import Skeleton
from hrnet.tables import MALFORMED, read_json

# What is taken for a person's area when those found in a picture are compared with each other.
# "region": the part of the picture that the network saw, padding included: the official code
#     (`lib/core/function.py`), and MMPose's CocoMetric with its top-down models.
# "extent": the box that the joints span: MMPose's CocoMetric with models that take no boxes.
# "none": nobody is suppressed.
NMS = Literal["region", "extent", "none"]
Progress = Callable[[int, int], None]

# Somebody whom no prediction was made for.
NOBODY = -1


@dataclass(frozen=True)
class Predictions:
    """D predicted people.

    Attributes:
        image_ids: (D,) int64, as in the annotation file.
        keypoints: (D, K, 3) float64 x, y in pixels of the picture, and score.
        scores: (D,) float64 by which AP ranks them.
        regions: (D, 2, 2) float64 centre and size, in pixels, of what the network saw of each,
            padding included; None where a file does not say.
        boxes: (D, 4) float64 x1, y1, x2, y2 without padding; None where a file does not say.
        annotation_ids: (D,) int64 of whom the box is; None for detected boxes.
        accepted: (D,) whether the detector's score says that somebody is there; None where all
            count as people. AP ranks the others too, and nothing else counts them.
        passed_over: how many boxes, of a file or found, do not count, by reason.
        probability: (D, K) float64 of the joints; None where the model is not calibrated.
        evidence: (D, K, 4) what probabilities are made from, see `hrnet.calibration`; None of
            predictions made elsewhere.
    """

    image_ids: NDArray[np.int64]
    keypoints: NDArray[np.float64]
    scores: NDArray[np.float64]
    regions: NDArray[np.float64] | None = None
    boxes: NDArray[np.float64] | None = None
    annotation_ids: NDArray[np.int64] | None = None
    accepted: NDArray[np.bool_] | None = None
    passed_over: Counter[str] = field(default_factory=Counter)
    probability: NDArray[np.float64] | None = None
    evidence: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.image_ids)

    def select(self, mask: NDArray[np.bool_]) -> "Predictions":
        """Those for whom `mask` (D,) is true."""
        of_each: dict[str, Any] = {
            name: value[mask] for name, value in vars(self).items() if isinstance(value, np.ndarray)
        }
        return replace(self, **of_each)

    def to_coco(self, *, boxes: bool = False) -> list[dict[str, Any]]:
        """Rows of a COCO results file. As the official code's they have `center` and `scale` of the
        region beyond what COCO asks for, and, where boxes are the annotations' own,
        `annotation_id`.

        Args:
            boxes: give them `bbox` too, as MMPose does. pycocotools then takes the box's area for
                that of what was found, where it would take what the joints span.
        """
        rows: list[dict[str, Any]] = []
        for i in range(len(self)):
            row = {
                "image_id": int(self.image_ids[i]),
                "category_id": 1,
                "keypoints": np.round(self.keypoints[i].ravel(), 3).tolist(),
                "score": float(self.scores[i]),
            }
            if self.regions is not None:
                row["center"] = np.round(self.regions[i, 0], 3).tolist()
                row["scale"] = np.round(self.regions[i, 1] / SCALE_UNIT, 6).tolist()
            if boxes and self.boxes is not None:
                x1, y1, x2, y2 = self.boxes[i].tolist()
                row["bbox"] = [x1, y1, x2 - x1, y2 - y1]
            if self.annotation_ids is not None:
                row["annotation_id"] = int(self.annotation_ids[i])
            rows.append(row)
        return rows


def read_predictions(file: str | Path, skeleton: Skeleton) -> Predictions:
    """A COCO results file: rows with image_id, keypoints (x, y, score of each joint of the
    skeleton, in its order) and score; and, where all have them, `center` and `scale` (of the
    padded region, in units of 200 pixels) as the official code writes them, `bbox` (x, y, width,
    height) and `annotation_id`.

    Raises:
        DataError: it is missing, broken, or not that.
    """
    rows = read_json(Path(file), "predictions file")
    try:
        keypoints = np.array([row["keypoints"] for row in rows], dtype=np.float64)
        predictions = Predictions(
            image_ids=np.array([row["image_id"] for row in rows], dtype=np.int64),
            keypoints=keypoints.reshape(len(rows), len(skeleton), 3),
            scores=np.array([row["score"] for row in rows], dtype=np.float64),
            regions=_regions(rows),
            boxes=_boxes(rows),
            annotation_ids=_column(rows, "annotation_id", np.int64),
        )
        numbers = np.concatenate([predictions.keypoints.ravel(), predictions.scores])
        if not (np.abs(numbers) < LARGEST).all():  # nor is NaN
            raise ValueError(f"a number is not finite and below {LARGEST:,.0f}")
        if any(float(row["image_id"]) % 1 for row in rows):  # it would be rounded to another's
            raise ValueError("an image_id is no whole number")
    except MALFORMED as error:
        raise DataError(
            f"{file} is not a COCO results file for the {len(skeleton)} keypoints of "
            f"{skeleton.name} ({type(error).__name__}: {error}); it needs rows with image_id, "
            "keypoints and score"
        ) from None
    return predictions


def predict_people(
    estimator: PoseEstimator, people: People, progress: Progress = lambda done, total: None
) -> Predictions:
    """Predict from the annotations' own, true boxes; each has the score 1.

    Args:
        progress: called with boxes done and boxes in all.

    Raises:
        DataError: a box lies outside its picture.
        ImageError: a picture is missing or broken.
    """
    by_picture: dict[Path, list[int]] = {}
    for i, file in enumerate(people.files):
        by_picture.setdefault(file, []).append(i)
    boxes = [(file, people.boxes[rows]) for file, rows in by_picture.items()]
    back = np.argsort(np.concatenate(list(by_picture.values())))  # to the order of the people
    found = _predict(estimator, boxes, people.orient, progress)
    return Predictions(
        image_ids=people.image_ids,
        regions=_padded(estimator, people.boxes),
        boxes=people.boxes,
        annotation_ids=people.annotation_ids,
        **{name: array[back] for name, array in found.items()},
    )


def predict_detections(
    estimator: PoseEstimator,
    detections: str | Path,
    pictures: dict[int, Path],
    categories: set[int],
    progress: Progress = lambda done, total: None,
    *,
    orient: Orient = "stored",
) -> Predictions:
    """Predict from the boxes of a detector.

    Args:
        detections: COCO detections: rows with image_id, bbox (x, y, width, height), score and
            category_id.
        pictures: the data set's, by image id; rows of others are passed over.
        categories: the data set's, by id; rows of others are passed over.
        orient: what the boxes' pixels are, see `People`.

    Raises:
        DataError: the file is missing or broken, has no boxes for the pictures, or has one outside
            its picture.
        ImageError: a picture is missing or broken.
    """
    rows = read_json(Path(detections), "detections file")
    try:
        detected = read_detections(rows, categories)
    except BoxError as error:
        raise DataError(f"{detections}: {error}") from None
    except MALFORMED as error:
        raise DataError(
            f"{detections} is not a COCO detections file ({type(error).__name__}: {error}); it "
            "needs rows with image_id, category_id, bbox and score"
        ) from None
    boxes = {id_: of_one for id_, of_one in detected.by_id.items() if id_ in pictures}
    passed_over = detected.passed_over
    if other := sum(len(of_one) for id_, of_one in detected.by_id.items() if id_ not in pictures):
        passed_over["of another picture"] = other
    if not boxes:
        known = ", ".join(map(str, sorted(categories)))
        raise DataError(
            f"{detections} has no boxes for the {len(pictures)} pictures; it needs rows with their "
            f"image_id, and with a category_id of theirs ({known})"
        )
    arrays = {image_id: np.array(of_one) for image_id, of_one in boxes.items()}
    return predict_boxes(
        estimator, arrays, pictures, progress, orient=orient, passed_over=passed_over
    )


def predict_boxes(
    estimator: PoseEstimator,
    boxes: Mapping[int, NDArray[np.float64]],
    pictures: Mapping[int, Path],
    progress: Progress = lambda done, total: None,
    *,
    orient: Orient = "stored",
    passed_over: Counter[str] | None = None,
) -> Predictions:
    """Predict from boxes.

    Args:
        boxes: by picture's id (P, 5) x1, y1, x2, y2 and score; one at least in all.
        pictures: by id.
        orient, passed_over: as `Predictions` and `People` have them.

    Raises:
        DataError: a box lies outside its picture.
        ImageError: a picture is missing or broken.
    """
    by_picture = [(pictures[image_id], of_one) for image_id, of_one in boxes.items()]
    found = _predict(estimator, by_picture, orient, progress)
    image_ids = np.repeat(list(boxes), [len(of_one) for of_one in boxes.values()])
    corners = np.concatenate([of_one[:, :4] for _, of_one in by_picture])
    return Predictions(
        image_ids=image_ids.astype(np.int64),
        regions=_padded(estimator, corners),
        boxes=corners,
        passed_over=Counter() if passed_over is None else passed_over,
        **found,
    )


def different_people(predictions: Predictions, skeleton: Skeleton) -> NDArray[np.bool_]:
    """(D,) who is not a better one's double, see `found_once`. Those who are accepted come before
    the others: in use, these are not there. The predictions have boxes and `accepted`."""
    assert predictions.boxes is not None
    assert predictions.accepted is not None
    # By rank, as scores have no limit.
    order = predictions.scores.argsort(kind="stable").argsort() + len(predictions) * (
        predictions.accepted
    )
    different = np.zeros(len(predictions), dtype=bool)
    for image in np.unique(predictions.image_ids):
        of_image = np.flatnonzero(predictions.image_ids == image)
        joints = predictions.probability
        stay = found_once(
            predictions.keypoints[of_image],
            order[of_image],
            predictions.boxes[of_image],
            sigmas_of(skeleton),
            None if joints is None else joints[of_image],
        )
        different[of_image[stay]] = True
    return different


def survivors(predictions: Predictions, skeleton: Skeleton, nms: NMS) -> NDArray[np.int64]:
    """Positions of those whom OKS-NMS at 0.9 leaves: picture by picture, the best first.

    Raises:
        DataError: the skeleton has no sigmas, or regions are asked for and not known.
    """
    if nms == "none":
        return np.arange(len(predictions))
    if skeleton.sigmas is None:
        raise DataError(f"skeleton {skeleton.name} has no sigmas, which OKS needs; take no NMS")
    if nms == "extent":
        areas = np.ptp(predictions.keypoints[..., :2], axis=1).prod(axis=1)
    elif predictions.regions is not None:
        areas = predictions.regions[:, 1].prod(axis=1)
    else:
        raise DataError("the predictions do not say which regions of the pictures they are from")
    kept = [np.empty(0, dtype=np.int64)]
    for image in np.unique(predictions.image_ids):
        of_image = np.flatnonzero(predictions.image_ids == image)
        stay = oks_nms(
            predictions.keypoints[of_image],
            predictions.scores[of_image],
            areas[of_image],
            skeleton.sigmas,
        )
        kept.append(of_image[stay])
    return np.concatenate(kept)


def match(people: People, predictions: Predictions, skeleton: Skeleton) -> NDArray[np.int64]:
    """For each of P people the position of the prediction that is theirs, or NOBODY: (P,).

    By annotation id where predictions have one and it is one person's (an annotation of
    COCO-WholeBody may be two hands) and one prediction's; else, picture by picture, the likest pair
    first, however unlike, of those that are accepted. So somebody has NOBODY only in a picture with
    fewer of them than people.
    """
    matched = np.full(len(people), NOBODY)
    ids = predictions.annotation_ids
    if ids is not None and _distinct(people.annotation_ids) and _distinct(ids):
        by_id = {int(a): i for i, a in enumerate(ids)}
        return np.array([by_id.get(int(a), NOBODY) for a in people.annotation_ids], dtype=np.int64)
    sigmas = sigmas_of(skeleton)
    accepted = True if predictions.accepted is None else predictions.accepted
    for image in np.unique(people.image_ids):
        rows = np.flatnonzero(people.image_ids == image)
        columns = np.flatnonzero(accepted & (predictions.image_ids == image))
        likeness = _likeness(people, rows, predictions.keypoints[columns], sigmas)
        for i, j in likest_pairs(likeness, 0):
            matched[rows[i]] = columns[j]
    return matched


def _distinct(ids: NDArray[np.int64]) -> bool:
    return len(np.unique(ids)) == len(ids)


def _likeness(
    people: People, rows: NDArray[np.int64], keypoints: NDArray[np.float64], sigmas: Any
) -> NDArray[np.float64]:
    """(rows, predictions) how alike, 0 to 1, over the labelled joints."""
    true = people.keypoints[rows]
    labelled = true[..., 2] > 0
    squared = np.square(true[:, None, :, :2] - keypoints[None, :, :, :2]).sum(axis=-1)
    variance = people.areas[rows][:, None, None] * 2 * np.square(2 * sigmas)
    # A heavy tail instead of the Gaussian's, which is 0 alike for all who are far.
    close = 1 / (1 + squared / np.maximum(variance, 1e-9))
    return (close * labelled[:, None]).sum(axis=-1) / np.maximum(labelled.sum(-1), 1)[:, None]


def _padded(estimator: PoseEstimator, boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack(crop_regions(boxes, estimator.card.input_size, estimator.padding), axis=1)


def _predict(
    estimator: PoseEstimator,
    boxes: list[tuple[Path, NDArray[np.float64]]],
    orient: Orient,
    progress: Progress,
) -> dict[str, Any]:
    """`keypoints`, `scores`, `evidence` and, of a calibrated model, `probability` of the boxes
    (P, 4 or 5) of each picture, in order, as `Predictions` has them."""
    found: defaultdict[str, list[NDArray[Any]]] = defaultdict(list)
    done = 0
    total = sum(len(of_file) for _, of_file in boxes)
    pictures = (Picture(file, of_file, upright=orient == "exif") for file, of_file in boxes)
    with closing(estimator.stream(pictures)) as results:
        for result in results:
            if isinstance(result.error, BoxError):
                raise DataError(f"the boxes do not fit {result.picture.source}: {result.error}")
            if result.error is not None:
                raise result.error
            poses = result.poses
            assert poses is not None
            assert result.evidence is not None
            points = np.concatenate([poses.keypoints, poses.scores[..., None]], axis=2)
            found["keypoints"].append(points)
            found["scores"].append(poses.pose_scores)
            found["evidence"].append(result.evidence)
            if poses.probability is not None:
                found["probability"].append(poses.probability)
            done += len(poses)
            progress(done, total)
    return {name: np.concatenate(arrays).astype(np.float64) for name, arrays in found.items()}


def _regions(rows: Any) -> NDArray[np.float64] | None:
    centers, scales = (_column(rows, name, np.float64) for name in ("center", "scale"))
    if centers is None or scales is None:
        return None
    return np.stack([centers, scales * SCALE_UNIT], axis=1).reshape(-1, 2, 2)


def _boxes(rows: Any) -> NDArray[np.float64] | None:
    boxes: NDArray[np.float64] | None = _column(rows, "bbox", np.float64)
    if boxes is None:
        return None
    x, y, width, height = boxes.T
    return np.stack([x, y, x + width, y + height], axis=1)


def _column(rows: Any, name: str, dtype: Any) -> Any:
    """What all rows have under a name, as an array; None where some have nothing."""
    if not rows or not all(name in row for row in rows):
        return None
    return np.array([row[name] for row in rows], dtype=dtype)
