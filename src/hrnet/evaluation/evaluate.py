"""A model's figures on an annotation file: prediction with the boxes given, plus metrics."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import hrnet
from hrnet.calibration import Reliability
from hrnet.data.annotations import hashable
from hrnet.data.coco import WHOLEBODY_PARTS, Protocol, has_wholebody, pictures_and_categories
from hrnet.data.people import Orient, People, in_words
from hrnet.data.reading import read_people
from hrnet.detection.detector import Detector
from hrnet.errors import DataError
from hrnet.evaluation.calibrating import judge, measured_reliability
from hrnet.evaluation.detecting import RANKED, are_judged, box_figures, detect, read_ignored
from hrnet.evaluation.distances import box_lengths, epe, nme
from hrnet.evaluation.figures import JointFigures
from hrnet.evaluation.oks import crowdpose_ap, oks_ap, oks_ap_by_joint, wholebody_ap
from hrnet.evaluation.pck import PCK, auc, box_pck, head_pck, mpii_pckh, pck
from hrnet.evaluation.predictions import (
    NMS,
    NOBODY,
    Predictions,
    Progress,
    different_people,
    match,
    predict_boxes,
    predict_detections,
    predict_people,
    survivors,
)
from hrnet.files import sha256_of
from hrnet.images import size_and_orientation
from hrnet.predicting.estimator import PoseEstimator
from hrnet.runtime.execution import package_versions
from hrnet.similarity import mean_similarity, sigmas_of
from hrnet.skeletons import Skeleton
from hrnet.tables import read_json

Curve = tuple[NDArray[np.float64], NDArray[np.float64]]

# Where a prediction is missing, its joints count as wrong: this far away, in pixels.
FAR = 1e9
PACKAGES = ("torch", "numpy", "opencv-python-headless", "pycocotools")


@dataclass(frozen=True)
class Evaluation:
    """Figures with their protocol, and what they were computed of.

    Attributes:
        figures: by name. AP and AR are shares (0 to 1); PCK, PCKh and NME are percentages, EPE is
            in pixels, AUC a share.
        per_joint: figure's name -> joint -> value; NaN where no such joint is labelled.
        curves: figure's name -> thresholds (T,) and values (T,) in per cent.
        protocol: what makes the figures comparable.
        skeleton: of the keypoints.
        people: who is labelled.
        predictions: of whoever was predicted.
        matched: (P,) for each of the people the prediction that is theirs, or NOBODY.
        goodness: (P,) OKS of each with that prediction, 0 where there is none; where the skeleton
            has no sigmas, with a typical one.
        reliability: of the joints' probabilities; None where there are none, or no sigmas.
    """

    figures: dict[str, float]
    per_joint: dict[str, dict[str, float]]
    curves: dict[str, Curve]
    protocol: dict[str, Any]
    skeleton: Skeleton
    people: People
    predictions: Predictions
    matched: NDArray[np.int64]
    goodness: NDArray[np.float64]
    reliability: Reliability | None = None


def evaluate(
    estimator: PoseEstimator,
    file: str | Path,
    *,
    images: str | Path | None = None,
    boxes: str | Path = "gt",
    detector: Detector | None = None,
    ignore: str | Path | None = None,
    protocol: Protocol = "official",
    orient: Orient = "stored",
    progress: Progress = lambda done, total: None,
) -> Evaluation:
    """Evaluate a model on an annotation file, and with a detector that as well.

    Args:
        file: JSON in COCO's keypoint format or MPII's.
        images: folder of the pictures; by default `images` beside the file, or the file's own.
        boxes: "gt" for the annotations' own, true boxes, or a COCO detections file.
        detector: finds the boxes instead, in all pictures.
        ignore: COCO detections file of people whom the annotation file does not list: a box on one
            of them, and the pose found there, is neither right nor wrong.
        protocol: whose conventions to follow where the public programs differ: in how boxes are
            clipped to their pictures, in what MPII's PCKh@0.1 is, and in what the area of somebody
            found is, by which AP(M) and AP(L) count (the joints' extent, or the box's).
        orient: what the pixels of the file, of a detections file and of the predictions are, see
            `hrnet.data.people.People`.
        progress: called with boxes done and boxes in all.

    Raises:
        DataError: the file is missing, broken, lacks keypoints of the model, or has a box outside
            its picture; or the detector finds nobody.
        ImageError: a picture is missing or broken.
    """
    skeleton = estimator.card.skeleton
    people = _people(file, skeleton, images, protocol, orient)
    source = "gt" if str(boxes) == "gt" else Path(boxes).name
    of_boxes: dict[str, float] = {}

    if detector is not None:
        pictures, _ = pictures_and_categories(file, images)
        predictions, of_boxes = _predict_found(
            estimator, detector, file, pictures, ignore, orient, progress
        )
        source = detector.name
    elif str(boxes) == "gt":
        predictions = predict_people(estimator, people, progress)
    else:
        pictures, categories = pictures_and_categories(file, images)
        predictions = predict_detections(
            estimator, boxes, pictures, categories, progress, orient=orient
        )
    weights = estimator.runner.weights
    evaluation = _evaluate(
        predictions,
        people,
        file,
        skeleton,
        protocol,
        {
            "model": estimator.card.name,
            "weights_sha256": sha256_of(weights) if weights is not None else None,
            "boxes": source,
            "padding": estimator.padding,
            "flip_test": estimator.flip_test,
            "input_size": list(estimator.card.input_size),
            "codec": estimator.card.codec.kind,
            "runs": estimator.runner.runs,
        },
    )
    return replace(evaluation, figures={**evaluation.figures, **of_boxes})


def _predict_found(
    estimator: PoseEstimator,
    detector: Detector,
    file: str | Path,
    pictures: Mapping[int, Path],
    ignore: str | Path | None,
    orient: Orient,
    progress: Progress,
) -> tuple[Predictions, dict[str, float]]:
    """Predictions for the boxes of a detector, but for those of people who are ignored, and the
    boxes' figures.

    Boxes are among them that are far below the threshold: AP ranks these too, as published figures
    do. Of somebody found twice there is one, as in use.
    """
    look, own = estimator.second_look(detector), detector.threshold
    threshold = own if look is None else look.threshold
    detector.threshold = min(own, RANKED) if look is None else look.candidates
    try:
        found = detect(detector, pictures, orient=orient)
    finally:
        detector.threshold = own
    with_people = {number: boxes for number, boxes in found.items() if len(boxes)}
    nobody = DataError(f"{detector.name} finds nobody in the {len(pictures)} pictures of {file}")
    if not with_people:
        raise nobody
    predictions = predict_boxes(estimator, with_people, pictures, progress, orient=orient)
    boxes = np.concatenate(list(with_people.values()))
    joints = predictions.probability
    if look is not None:
        assert joints is not None
        counts = list(map(len, with_people.values()))
        longer = [max(size_and_orientation(pictures[number])[0]) for number in with_people]
        boxes[:, 4] = look.probability(boxes[:, 4], joints, boxes, np.repeat(longer, counts))
        predictions = replace(predictions, scores=boxes[:, 4] * joints.mean(axis=1))
    predictions = replace(predictions, accepted=boxes[:, 4] > threshold)
    different = different_people(predictions, estimator.card.skeleton)
    twice = Counter({"of somebody found already": int((~different).sum())})
    predictions = replace(predictions.select(different), passed_over=+twice)
    boxes = boxes[different]
    found |= {number: boxes[predictions.image_ids == number] for number in with_people}
    annotations = read_json(Path(file), "annotation file")["annotations"]
    ignored = {} if ignore is None else read_ignored(ignore)
    figures = box_figures(annotations, found, ignored, threshold)
    judged = np.concatenate(list(are_judged(annotations, found, ignored).values()))
    if not judged.any():
        raise nobody
    return predictions.select(judged), figures


def evaluate_predictions(
    predictions: Predictions,
    file: str | Path,
    skeleton: Skeleton,
    *,
    images: str | Path | None = None,
    protocol: Protocol = "official",
    orient: Orient = "stored",
    name: str = "predictions",
) -> Evaluation:
    """Evaluate predictions made elsewhere, in the file's pixels; `name` says in the report whose
    they are, and `orient` how its sheet of pictures is to be turned, see `evaluate`.

    Raises:
        DataError: the annotation file is missing, broken, or lacks keypoints of the skeleton; or
            predictions are of a picture that it lacks, or of an annotation of another picture.
    """
    people = _people(file, skeleton, images, protocol, orient)
    _check_ids(predictions, file, name)
    description = {"model": name, "boxes": "unknown"}
    return _evaluate(predictions, people, file, skeleton, protocol, description)


def _check_ids(predictions: Predictions, file: str | Path, name: str) -> None:
    """Refuse predictions made for another file, whose people would count as not found."""
    content = read_json(Path(file), "annotation file")
    if not isinstance(content, dict):  # MPII's own list has no ids
        return
    pictures = {picture["id"] for picture in content["images"]}
    owners = {a.get("id"): a["image_id"] for a in content["annotations"]}
    for i, image in enumerate(predictions.image_ids.tolist()):
        wrong = None
        if image not in pictures:
            wrong = f"image_id {image}, which {file} lacks"
        elif predictions.annotation_ids is not None:
            annotation = int(predictions.annotation_ids[i])
            if annotation not in owners:
                wrong = f"annotation_id {annotation}, which {file} lacks"
            elif owners[annotation] != image:
                wrong = f"image_id {image}, and annotation_id {annotation}, which is of another"
        if wrong is not None:
            raise DataError(
                f"{name}: row {i} has {wrong}; evaluate it on the annotation file that it was "
                "made for, or leave annotation_id out"
            )


def _people(
    file: str | Path,
    skeleton: Skeleton,
    images: str | Path | None,
    protocol: Protocol,
    orient: Orient,
) -> People:
    people = read_people(file, skeleton, images, protocol=protocol, orient=orient)
    if len(people) == 0:
        said = in_words(people.counts())
        raise DataError(f"{file} has no people with labelled keypoints: {said}")
    return people


def _evaluate(
    predictions: Predictions,
    people: People,
    file: str | Path,
    skeleton: Skeleton,
    protocol: Protocol,
    description: dict[str, Any],
) -> Evaluation:
    content = read_json(Path(file), "annotation file")
    matched = match(people, predictions, skeleton)
    found = matched != NOBODY
    predicted = np.full((len(people), len(skeleton), 2), FAR)
    predicted[found] = predictions.keypoints[matched[found], :, :2]

    measures = _share_measures(predicted, people, skeleton, protocol)
    if found.any():  # distances of those who were found
        of_found = people.select(found)
        measures += _distance_measures(predicted[found], of_found, skeleton)
    per_joint: dict[str, dict[str, float]] = {}
    curves: dict[str, Curve] = {}
    notes: dict[str, str] = {}
    nms: NMS = "none"
    if skeleton.sigmas is not None:
        nms = "extent" if predictions.regions is None else "region"
    rows = predictions.to_coco(boxes=protocol == "mmpose")
    rows = [rows[i] for i in survivors(predictions, skeleton, nms)]
    figures, by_joint, note = _oks_figures(rows, _measured(content, people), skeleton)
    if by_joint:
        per_joint["AP"] = by_joint
    if note:
        notes["AP"] = note
    for measure in measures:
        headline = next(iter(measure.figures))
        figures |= measure.figures
        per_joint[headline] = measure.per_joint
        notes[headline] = f"{measure.protocol}; {measure.joints} joints of {measure.people} people"
        if isinstance(measure, PCK) and headline != "AUC":
            curve = headline.partition("@")[0]
            curves[curve] = (np.array(measure.thresholds), np.array(measure.curve))
    reliable = None
    if predictions.probability is not None and skeleton.sigmas is not None and found.any():
        judged = judge(people, predictions, matched, skeleton)
        reliable = measured_reliability(judged, predictions.probability)
        figures["ECE"] = reliable.error
        notes["ECE"] = (
            "mean distance of a joint's probability from the share found; "
            f"{reliable.counts.sum()} joints of {len(judged.rows)} people"
        )
    return Evaluation(
        figures=figures,
        per_joint=per_joint,
        curves=curves,
        protocol={
            **description,
            "data": str(file),
            "data_sha256": sha256_of(Path(file)),
            "annotations": len(content["annotations"] if isinstance(content, dict) else content),
            **people.counts(),
            "predictions": len(predictions),
            "boxes_passed_over": dict(predictions.passed_over),
            "people_without_prediction": int((~found).sum()),
            "protocol": protocol,
            "orient": people.orient,
            "oks_nms": nms,
            "measures": notes,
            "versions": {"hrnet": hrnet.__version__, **package_versions(PACKAGES)},
        },
        skeleton=skeleton,
        people=people,
        predictions=predictions,
        matched=matched,
        goodness=_goodness(predicted, people, skeleton),
        reliability=reliable,
    )


def _measured(content: Any, people: People) -> Any:
    """A file's content for OKS: people have the box and area that we measure them by where the
    file's own cannot be used, and who has no place in the picture is not to be found there."""
    if not isinstance(content, dict):
        return content
    of = {int(id_): i for i, id_ in enumerate(people.annotation_ids)}
    annotations = []
    for row in content["annotations"]:
        i = of.get(hashable(row.get("id")))
        if i is not None and people.box_faults[i]:
            x1, y1, x2, y2 = people.boxes[i].tolist()
            row = {**row, "bbox": [x1, y1, x2 - x1, y2 - y1], "area": float(people.areas[i])}
        elif i is None and not row.get("iscrowd") and any((row.get("keypoints") or [])[2::3]):
            continue
        annotations.append(row)
    return {**content, "annotations": annotations}


def _share_measures(
    predicted: NDArray[np.float64], people: People, skeleton: Skeleton, protocol: Protocol
) -> list[JointFigures]:
    """Shares of joints found, by the length that people with this skeleton are measured by."""
    true = people.keypoints
    if people.head_sizes is not None:
        if skeleton.name == "mpii16":
            return [mpii_pckh(predicted, true, people.head_sizes, protocol=protocol)]
        return [head_pck(predicted, true, people.head_sizes, skeleton)]
    if skeleton.torso is not None:
        return [pck(predicted, true, skeleton)]
    # Hands, faces, things.
    return [box_pck(predicted, true, people.boxes, skeleton), auc(predicted, true, skeleton)]


def _distance_measures(
    predicted: NDArray[np.float64], people: People, skeleton: Skeleton
) -> list[JointFigures]:
    measures = [epe(predicted, people.keypoints, skeleton)]
    if skeleton.name == "face_aflw19":
        lengths = box_lengths(people.boxes)
        measures.append(nme(predicted, people.keypoints, skeleton, lengths=lengths))
    elif skeleton.interocular is not None:
        measures.append(nme(predicted, people.keypoints, skeleton))
    return measures


def _oks_figures(
    rows: list[dict[str, Any]], content: Any, skeleton: Skeleton
) -> tuple[dict[str, float], dict[str, float], str]:
    """AP and AR, AP by joint where it is COCO's, and what AP is of where the file has several
    categories; nothing if the data set is not measured by them."""
    if skeleton.sigmas is None or not isinstance(content, dict):
        return {}, {}, ""
    if skeleton.name == "coco_wholebody133":
        return wholebody_ap(content, rows, skeleton), {}, ""
    if has_wholebody(content) and skeleton.name in WHOLEBODY_PARTS:  # it has no AP of parts alone
        return {}, {}, ""
    if all("crowdIndex" in picture for picture in content["images"]):
        return crowdpose_ap(content, rows, skeleton), {}, ""
    categories = {a.get("id"): a.get("category_id") for a in content["annotations"]}
    number = len(set(categories.values()))
    by_category = number > 1 and all(row.get("annotation_id") in categories for row in rows)
    if by_category:  # who is predicted from somebody's box is of their kind
        rows = [{**row, "category_id": categories[row["annotation_id"]]} for row in rows]
    figures = oks_ap(content, rows, skeleton, by_category=by_category)
    kind = "mean over the" if by_category else "of all together, whatever their kind, of"
    note = f"{kind} {number} categories" if number > 1 else ""
    return figures, oks_ap_by_joint(content, rows, skeleton), note


def _goodness(
    predicted: NDArray[np.float64], people: People, skeleton: Skeleton
) -> NDArray[np.float64]:
    squared = ((predicted - people.keypoints[..., :2]) ** 2).sum(axis=-1)
    return mean_similarity(squared, people.areas, sigmas_of(skeleton), people.keypoints[..., 2] > 0)
