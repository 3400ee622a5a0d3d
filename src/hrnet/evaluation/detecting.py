"""How well a detector finds people: box AP, and recall by size."""

import contextlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrnet.data.people import Orient
from hrnet.detection.coco_detections import read_detections
from hrnet.detection.detector import Detector
from hrnet.errors import BoxError, DataError
from hrnet.geometry import box_areas, intersections_over_unions, shared_areas
from hrnet.images import read_image
from hrnet.similarity import likest_pairs
from hrnet.tables import MALFORMED, read_json

Float = NDArray[np.float64]
Boxes = Mapping[int, Float]  # by picture's id: (P, >= 4) x1, y1, x2, y2 in pixels

FOUND = 0.5  # intersection over union
RANKED = 0.05  # score down to which boxes count for AP, which ranks them all
# Heights of people in pixels.
SIZES = {"32 to 64": (32, 64), "64 to 96": (64, 96), "over 96": (96, np.inf)}


def detect(
    detector: Detector, pictures: Mapping[int, Path], *, orient: Orient = "stored"
) -> dict[int, Float]:
    """Everybody whom a detector finds in pictures, by their id: (P, 5) boxes and scores.

    Raises:
        ImageError: a picture is missing or broken.
    """
    return {
        number: detector([read_image(file, orient=orient == "exif")])[0]
        for number, file in pictures.items()
    }


def read_ignored(file: str | Path) -> dict[int, Float]:
    """Boxes of COCO detections, by picture.

    Raises:
        DataError: the file is missing, or not that.
    """
    try:
        detections = read_detections(read_json(Path(file), "detections file"), {1})
    except (BoxError, *MALFORMED) as error:
        raise DataError(f"{file} is not a COCO detections file ({error})") from None
    return {number: np.array(boxes) for number, boxes in detections.by_id.items()}


def box_figures(
    annotations: list[dict[str, Any]], found: Boxes, ignored: Boxes, threshold: float
) -> dict[str, float]:
    """Figures of boxes found in all pictures of a data set.

    - box AP, AP50, AR: COCO's, by pycocotools, of all boxes, by the order of their scores.
    - recall: of people, in all and by their height, the share with a box of their own at an
      intersection over union of at least 0.5, the best pairs first; of boxes above the threshold.
    - false boxes: those above the threshold that are nobody's, a picture.

    A box is neither right nor wrong that is on one that is ignored, or on a crowd: at least half of
    it lies there.

    Args:
        annotations: a COCO file's, with `bbox`, `image_id` and perhaps `iscrowd`.
        found: of every picture, with scores in a fifth column.
        ignored: of pictures, people whom the file does not list.
        threshold: of the score, from where somebody is said to be there.
    """
    people, passed = _truth(annotations, found, ignored)
    figures = _coco_figures(people, passed, found)
    heights: list[Float] = []
    hits: list[NDArray[np.bool_]] = []
    false = 0
    for number, ranked in found.items():
        boxes = ranked[ranked[:, 4] > threshold]
        hit, right = matched(people[number], boxes)
        heights.append(people[number][:, 3] - people[number][:, 1])
        hits.append(hit)
        false += int((~right & ~lies_on(boxes, passed[number])).sum())
    height, hit = np.concatenate(heights), np.concatenate(hits)
    figures["recall"] = float(hit.mean()) if len(hit) else np.nan
    for name, (low, high) in SIZES.items():
        of_size = (height > low) & (height <= high)
        figures[f"recall, {name}"] = float(hit[of_size].mean()) if of_size.any() else np.nan
    figures["false boxes"] = false / len(found)
    return figures


def are_judged(
    annotations: list[dict[str, Any]], found: Boxes, ignored: Boxes
) -> dict[int, NDArray[np.bool_]]:
    """Which boxes count, for poses: not those that are nobody's who is listed and lie on one that
    is ignored, see `box_figures`. Those in crowds do: COCO's evaluation of poses has its own rule
    for them."""
    people, _ = _truth(annotations, found, ignored)
    nobody = np.empty((0, 4))
    return {
        number: matched(people[number], boxes)[1] | ~lies_on(boxes, ignored.get(number, nobody))
        for number, boxes in found.items()
    }


def _truth(
    annotations: list[dict[str, Any]], found: Boxes, ignored: Boxes
) -> tuple[dict[int, Float], dict[int, Float]]:
    """Of every picture, people's boxes, and the boxes on which one is neither right nor wrong."""
    people: dict[int, Float] = {}
    passed: dict[int, Float] = {}
    for number in found:
        own = [a for a in annotations if a["image_id"] == number]
        boxes = np.array([a["bbox"] for a in own], np.float64).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        crowd = np.array([bool(a.get("iscrowd")) for a in own], bool)
        people[number] = boxes[~crowd]
        passed[number] = np.concatenate([boxes[crowd], ignored.get(number, boxes[:0])[:, :4]])
    return people, passed


def lies_on(boxes: Float, others: Float) -> NDArray[np.bool_]:
    """(P,) whether at least half of a box lies on one of others."""
    return np.asarray(
        (shared_areas(boxes, others) >= FOUND * box_areas(boxes)[:, None]).any(axis=1)
    )


def matched(people: Float, boxes: Float) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which people have a box, and which boxes are somebody's: one each, the likest pair first."""
    likeness = intersections_over_unions(people, boxes)
    own, right = np.zeros(len(people), bool), np.zeros(len(boxes), bool)
    for i, j in likest_pairs(likeness, FOUND):
        own[i] = right[j] = True
    return own, right


def _coco_figures(people: Boxes, passed: Boxes, found: Boxes) -> dict[str, float]:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for number in found:
        for boxes, is_crowd in ((people[number], 0), (passed[number], 1)):
            for x1, y1, x2, y2 in boxes[:, :4].tolist():
                box = [x1, y1, x2 - x1, y2 - y1]
                entry = {"id": len(truth) + 1, "image_id": number, "category_id": 1, "bbox": box}
                truth.append({**entry, "area": box[2] * box[3], "iscrowd": is_crowd})
        for x1, y1, x2, y2, score in found[number].tolist():
            row = {"image_id": number, "category_id": 1, "bbox": [x1, y1, x2 - x1, y2 - y1]}
            results.append({**row, "score": score})
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO()
        known.dataset = {
            "images": [{"id": number} for number in found],
            "annotations": truth,
            "categories": [{"id": 1}],
        }
        known.createIndex()
        if not results:
            return {"box AP": 0.0, "box AP50": 0.0, "box AR": 0.0}
        evaluation = COCOeval(known, known.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {
        "box AP": float(evaluation.stats[0]),
        "box AP50": float(evaluation.stats[1]),
        "box AR": float(evaluation.stats[8]),
    }
