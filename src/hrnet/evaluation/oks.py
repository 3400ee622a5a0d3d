"""OKS average precision, computed by pycocotools: of COCO, CrowdPose and COCO-WholeBody.

pycocotools knows COCO's own rules; those of CrowdPose and COCO-WholeBody (xtcocotools, which MMPose
evaluates with) differ in what stands in the annotations, which is where they are followed here.
"""

import contextlib
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hrnet.data.annotations import keypoint_names
from hrnet.errors import DataError
from hrnet.similarity import AREA_OF_BOX
from hrnet.skeletons import Skeleton
from hrnet.tables import MALFORMED, read_json

if TYPE_CHECKING:
    from hrnet.evaluation.keypoint_eval import KeypointEval

# The order of COCOeval.stats for keypoints.
STATS = ("AP", "AP50", "AP75", "AP(M)", "AP(L)", "AR", "AR50", "AR75", "AR(M)", "AR(L)")

# COCO-WholeBody's parts: where the annotations hold them, and how many of the 133 keypoints.
WHOLEBODY = {
    "body": ("keypoints", 17),
    "foot": ("foot_kpts", 6),
    "face": ("face_kpts", 68),
    "left hand": ("lefthand_kpts", 21),
    "right hand": ("righthand_kpts", 21),
}

# CrowdPose's parts by how crowded a picture is, from 0 to 1 (Li et al., CVPR 2019).
CROWDS = {"AP(E)": (-np.inf, 0.2), "AP(M)": (0.2, 0.8), "AP(H)": (0.8, np.inf)}

Rows = list[dict[str, Any]]
Annotations = str | Path | dict[str, Any]  # an annotation file, or its content


def oks_ap(
    annotations: Annotations, results: Rows, skeleton: Skeleton, *, by_category: bool = False
) -> dict[str, float]:
    """COCO's AP and AR over OKS 0.50:0.05:0.95, from 0 to 1 (-1 where nothing is to be found).

    Args:
        annotations: file in COCO's keypoint format, or its content.
        results: rows as of `Poses.to_coco`, after suppression (see `predictions.survivors`). What
            was found beside the people counts in AP(M) or AP(L) by its area, which is that of the
            row's `bbox`, as in MMPose, or where it has none what the joints span, as in the
            official code.
        skeleton: its sigmas are OKS's constants.
        by_category: match people with rows of their own category_id only, and average over
            categories, as MMPose does for AP-10K's kinds of animals. Else all are of one sort.

    Raises:
        DataError: the file is not in COCO's keypoint format, the rows do not fit it or the
            skeleton, or the skeleton has no sigmas.
        ModuleNotFoundError: pycocotools is not installed.
    """
    truth = _Truth(annotations, skeleton, by_category=by_category)
    return _stats(_evaluate(truth, truth.people(), _found(truth, results), _sigmas(skeleton)))


def oks_ap_by_joint(
    annotations: Annotations, results: Rows, skeleton: Skeleton
) -> dict[str, float]:
    """COCO's AP by joint name, as if people had that joint alone (-1 where it is never labelled).

    Poses rank by their whole score. Arguments and errors are those of `oks_ap`.
    """
    truth = _Truth(annotations, skeleton)
    found = _found(truth, results)
    sigmas = _sigmas(skeleton)
    figures = {}
    for i, name in enumerate(skeleton.keypoints):
        people = [_only(person, slice(i, i + 1)) for person in truth.people()]
        rows = [_only(row, slice(i, i + 1)) for row in found]
        figures[name] = _ap(_evaluate(truth, people, rows, sigmas[i : i + 1], sizes=False))
    return figures


def crowdpose_ap(annotations: Annotations, results: Rows, skeleton: Skeleton) -> dict[str, float]:
    """CrowdPose's AP and AR, and its AP in pictures that are easy, medium and hard by `crowdIndex`.

    OKS goes by the area of 0.53 of the box, and people whose `num_keypoints`, which counts visible
    joints, is 0 are not to be found.

    Args:
        annotations: file of CrowdPose, or its content.
        results: rows as of `Poses.to_coco`, after suppression.
        skeleton: its sigmas are OKS's constants.

    Returns:
        AP, AP50, AP75, AR, AR50, AR75, AP(E), AP(M), AP(H), from 0 to 1 (-1 where nothing is to be
        found). AP(M) is that of medium crowds, not of medium people.

    Raises:
        DataError: as in `oks_ap`, or a picture has no `crowdIndex`.
    """
    truth = _Truth(annotations, skeleton)
    try:
        crowds = {picture["id"]: float(picture["crowdIndex"]) for picture in truth.images}
    except MALFORMED as error:
        raise DataError(
            f"{truth.file} is not CrowdPose's: a picture has no crowdIndex ({error})"
        ) from None
    people = truth.people(boxes_for_areas=True)
    found = [row for row in _found(truth, results) if row["keypoints"][2::3].max() > 0]
    sigmas = _sigmas(skeleton)
    stats = _stats(_evaluate(truth, people, found, sigmas))
    figures = {name: stats[name] for name in ("AP", "AP50", "AP75", "AR", "AR50", "AR75")}
    for name, (low, high) in CROWDS.items():
        pictures = [id_ for id_, crowd in crowds.items() if low <= crowd < high]
        figures[name] = -1.0
        if pictures:
            figures[name] = _ap(_evaluate(truth, people, found, sigmas, pictures, sizes=False))
    return figures


def wholebody_ap(annotations: Annotations, results: Rows, skeleton: Skeleton) -> dict[str, float]:
    """COCO-WholeBody's AP and AR of body, foot, face, left hand, right hand and of the whole.

    The area of a person is that of the body in every part.

    Args:
        annotations: file of COCO-WholeBody, or its content.
        results: rows as of `Poses.to_coco`, of all 133 keypoints, after suppression.
        skeleton: its sigmas are OKS's constants.

    Returns:
        For each part the figures of `oks_ap`: "body AP", "body AP50", ..., "whole AR(L)".

    Raises:
        DataError: as in `oks_ap`.
    """
    joints = sum(number for _, number in WHOLEBODY.values())
    if len(skeleton) != joints:
        raise DataError(f"skeleton {skeleton.name} has {len(skeleton)} keypoints, not {joints}")
    truth = _Truth(annotations, skeleton, tuple(key for key, _ in WHOLEBODY.values()))
    body = slice(0, WHOLEBODY["body"][1])
    found = _found(truth, results, area_of=body)
    sigmas = _sigmas(skeleton)
    figures: dict[str, float] = {}
    start = 0
    parts = {name: number for name, (_, number) in WHOLEBODY.items()} | {"whole": joints}
    for part, number in parts.items():
        place = slice(0, joints) if part == "whole" else slice(start, start + number)
        start += number
        people = [_only(person, place) for person in truth.people()]
        rows = [_only(row, place) for row in found]
        # xtcocotools passes over a part of which no joint scores.
        rows = [row for row in rows if row["keypoints"][2::3].max() > 0]
        stats = _stats(_evaluate(truth, people, rows, sigmas[place]))
        figures |= {f"{part} {name}": value for name, value in stats.items()}
    return figures


class _Truth:
    """An annotation file, in the form that pycocotools needs."""

    def __init__(
        self,
        annotations: Annotations,
        skeleton: Skeleton,
        keys: tuple[str, ...] = ("keypoints",),
        *,
        by_category: bool = False,
    ):
        content: Any = annotations
        self.file: Any = "the annotation file"
        if not isinstance(annotations, dict):
            content, self.file = read_json(Path(annotations), "annotation file"), annotations
        self.joints = len(skeleton)
        self.keys = keys
        self.by_category = by_category
        try:
            self.images = [{**picture, "id": picture["id"]} for picture in content["images"]]
            self._columns = self._order(content, skeleton)
            self._people = [self._person(i, a) for i, a in enumerate(content["annotations"])]
        except MALFORMED as error:
            raise DataError(
                f"{self.file} is not in COCO's keypoint format ({type(error).__name__}: {error}); "
                f"it needs images, and annotations with image_id, bbox and {self.joints} keypoints"
            ) from error

    def _order(self, content: Any, skeleton: Skeleton) -> list[int] | None:
        """Which of the file's columns are the skeleton's keypoints; None for all as they come."""
        names = keypoint_names(content) if content.get("categories") else []
        if len(self.keys) > 1 or not names or names == list(skeleton.keypoints):
            return None
        return [names.index(name) for name in skeleton.keypoints]

    def _person(self, i: int, row: dict[str, Any]) -> dict[str, Any]:
        numbers = [number for key in self.keys for number in row.get(key, ())]
        if numbers and self._columns is not None:
            numbers = [number for k in self._columns for number in numbers[3 * k : 3 * k + 3]]
        if not numbers and self.keys == ("keypoints",):  # a box alone, which nobody need find
            numbers = [0] * (3 * self.joints)
        if len(numbers) != 3 * self.joints:
            raise ValueError(f"annotation {row.get('id')} has {len(numbers) / 3:g} keypoints")
        keypoints = np.array(numbers, dtype=np.float64)
        labelled = np.count_nonzero(keypoints[2::3] > 0)
        bbox = np.array(row.get("bbox"), dtype=np.float64)
        if not labelled and not (bbox.shape == (4,) and np.isfinite(bbox).all()):
            bbox = np.zeros(4)  # nobody need be found there
        if bbox.shape != (4,) or not (np.isfinite(keypoints).all() and np.isfinite(bbox).all()):
            raise ValueError(f"annotation {row.get('id')} has numbers that are none, or no box")
        return {
            "id": i + 1,  # to pycocotools, 0 is nobody
            "image_id": row["image_id"],
            # Else the model knows one sort of being, whatever its number in the file.
            "category_id": row["category_id"] if self.by_category else 1,
            "iscrowd": row.get("iscrowd") or 0,
            # The file's own, where all of its joints count: CrowdPose's counts the visible ones.
            "num_keypoints": labelled if self._columns else row.get("num_keypoints", labelled),
            "area": None if row.get("area") is None else float(row["area"]),
            "bbox": bbox,
            "keypoints": keypoints,
        }

    def people(self, *, boxes_for_areas: bool = False) -> Rows:
        """The annotations, each a copy."""
        people = [dict(person) for person in self._people]
        for person in people:
            if boxes_for_areas or person["area"] is None:
                person["area"] = AREA_OF_BOX * person["bbox"][2] * person["bbox"][3]
        return people


def _sigmas(skeleton: Skeleton) -> NDArray[np.float64]:
    if skeleton.sigmas is None:
        raise DataError(f"skeleton {skeleton.name} has no sigmas, which OKS needs")
    return np.array(skeleton.sigmas)


def _found(truth: _Truth, results: Rows, area_of: slice | None = None) -> Rows:
    """Result rows with what pycocotools adds to them: numbers and areas.

    The area is that of the row's `bbox`, if it has one and `area_of` names no keypoints, or of
    what (those) keypoints span.
    """
    try:
        shape = (len(results), truth.joints, 3)
        points = np.array([row["keypoints"] for row in results], np.float64).reshape(shape)
        scores = np.array([row["score"] for row in results], np.float64)
        if not (np.isfinite(points).all() and np.isfinite(scores).all()):
            raise ValueError("a number is not finite")
        images = [row["image_id"] for row in results]
        areas = np.ptp(points[:, area_of or slice(None), :2], axis=1).prod(axis=1)
        for i, row in enumerate(results):
            if area_of is None and "bbox" in row:
                areas[i] = row["bbox"][2] * row["bbox"][3]
        unknown = set(images) - {picture["id"] for picture in truth.images}
    except MALFORMED as error:
        raise DataError(
            f"the results are not rows of a COCO results file with {truth.joints} keypoints each "
            f"({type(error).__name__}: {error})"
        ) from None
    if unknown:
        raise DataError(f"the results name image_id {unknown.pop()}, which {truth.file} lacks")
    return [
        {
            "id": i + 1,
            "image_id": image,
            "category_id": results[i].get("category_id", 1) if truth.by_category else 1,
            "iscrowd": 0,
            "score": float(scores[i]),
            "area": float(areas[i]),
            "keypoints": points[i].ravel(),
        }
        for i, image in enumerate(images)
    ]


def _only(row: dict[str, Any], joints: slice) -> dict[str, Any]:
    """A copy of an annotation or result with some of its joints."""
    keypoints = row["keypoints"][3 * joints.start : 3 * joints.stop]
    labelled = np.count_nonzero(keypoints[2::3] > 0)
    return row | {"keypoints": keypoints, "num_keypoints": labelled}


def _evaluate(
    truth: _Truth,
    people: Rows,
    found: Rows,
    sigmas: NDArray[np.float64],
    pictures: list[Any] | None = None,
    *,
    sizes: bool = True,
) -> "KeypointEval":
    """pycocotools' evaluation, in some pictures or all, by people's sizes or not."""
    from pycocotools.coco import COCO

    from hrnet.evaluation.keypoint_eval import KeypointEval

    categories = sorted({person["category_id"] for person in people} or {1})
    # pycocotools reports on standard output.
    with contextlib.redirect_stdout(io.StringIO()):
        sides = []
        for rows in (people, found):
            side = COCO()
            side.dataset = {
                "images": truth.images,
                "categories": [{"id": category} for category in categories],
                "annotations": rows,
            }
            side.createIndex()
            sides.append(side)
        evaluation = KeypointEval(*sides, "keypoints")
        evaluation.params.kpt_oks_sigmas = sigmas
        if pictures is not None:
            evaluation.params.imgIds = pictures
        if not sizes:
            evaluation.params.areaRng = evaluation.params.areaRng[:1]
            evaluation.params.areaRngLbl = evaluation.params.areaRngLbl[:1]
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation


def _stats(evaluation: "KeypointEval") -> dict[str, float]:
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.summarize()
    return {name: float(value) for name, value in zip(STATS, evaluation.stats, strict=True)}


def _ap(evaluation: "KeypointEval") -> float:
    precision = evaluation.eval["precision"][..., 0, 0]
    return float(precision[precision > -1].mean()) if (precision > -1).any() else -1.0
