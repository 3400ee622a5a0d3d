"""People and predictions by a fixed rule around real annotations, the same for the golden script of
the original metrics and for the tests."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from rule import numbers

COPIES = 6
CROWD_INDICES = (0.05, 0.19, 0.2, 0.5, 0.8, 0.95)  # one a copy; 0.2 and 0.8 are borders
WHOLEBODY_KEYS = ("keypoints", "foot_kpts", "face_kpts", "lefthand_kpts", "righthand_kpts")
FEET = slice(17, 23)


@dataclass(frozen=True)
class Predictions:
    """D poses: each has K keypoints of x, y and score, and a box of x1, y1, x2, y2."""

    image_ids: list[int]
    keypoints: np.ndarray
    boxes: np.ndarray
    box_scores: np.ndarray


def copies(content: dict[str, Any]) -> dict[str, Any]:
    """A COCO annotation file with each picture and annotation several times, under new ids; in
    some copies the first person is a crowd."""
    return {
        **content,
        "images": [
            {**picture, "id": 10 * picture["id"] + copy, "crowdIndex": CROWD_INDICES[copy]}
            for copy in range(COPIES)
            for picture in content["images"]
        ],
        "annotations": [
            {
                **row,
                "id": 10 * row["id"] + copy,
                "image_id": 10 * row["image_id"] + copy,
                "iscrowd": int(i == 0 and copy % 3 == 2),
            }
            for copy in range(COPIES)
            for i, row in enumerate(content["annotations"])
        ],
    }


def people(content: dict[str, Any], keys: tuple[str, ...] = ("keypoints",)) -> tuple:
    """Keypoints (P, K, 3), boxes (P, 4) x1, y1, x2, y2 and image ids of those with a label."""
    rows = [row for row in content["annotations"] if any(row["keypoints"][2::3])]
    keypoints = [[number for key in keys for number in row[key]] for row in rows]
    boxes = np.array([row["bbox"] for row in rows], dtype=np.float64)
    boxes[:, 2:] += boxes[:, :2]
    return (
        np.array(keypoints, dtype=np.float64).reshape(len(rows), -1, 3),
        boxes,
        [row["image_id"] for row in rows],
    )


def predict(name: str, keypoints: np.ndarray, boxes: np.ndarray, sigmas: np.ndarray) -> np.ndarray:
    """(P, K, 2) close to the labels, the closer the smaller a joint's sigma is, and by persons from
    exact to far off; joints without a label lie about the box's centre."""
    size = np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))
    center = (boxes[:, :2] + boxes[:, 2:]) / 2
    points = np.where(keypoints[..., 2:] > 0, keypoints[..., :2], center[:, None])
    level = 0.9 * (np.arange(len(keypoints)) % 8) / 7
    spread = level[:, None, None] * size[:, None, None] * 2 * sigmas[None, :, None]
    return points + spread * numbers(f"{name} points", points.shape)


def detections(
    name: str, keypoints: np.ndarray, boxes: np.ndarray, image_ids: list[int], sigmas: np.ndarray
) -> Predictions:
    """Four poses a person: as by `predict`, two that are more and less like the first one, so that
    either one is a duplicate or both are, and one that is beside the person in a box too large."""
    first = predict(name, keypoints, boxes, sigmas)
    center = (boxes[:, None, :2] + boxes[:, None, 2:]) / 2
    size = np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))[:, None, None]
    joint = size * 2 * sigmas[None, :, None]
    beside = 0.7 * (boxes[:, 2:] - boxes[:, :2])[:, None]
    poses = [
        first,
        first + 0.35 * joint * numbers(f"{name} like", first.shape),
        first + 0.8 * joint * numbers(f"{name} less like", first.shape),
        center + beside + 0.5 * (first - center),
    ]
    persons, joints = keypoints.shape[:2]
    scores = 0.45 + 0.55 * numbers(f"{name} scores", (4, persons, joints))
    scores[3, ::5] = 0  # poses that see nothing
    if joints == 133:
        scores[0, 1::4, FEET] = 0
    spread = 0.04 * size[:, 0] * numbers(f"{name} boxes", (4, persons, 4))
    shift = np.zeros((4, persons, 4))
    shift[3] = np.tile(beside[:, 0], 2)
    box_scores = 0.7 + 0.3 * numbers(f"{name} box scores", (4 * persons,))
    box_scores[3 * persons :] *= 0.6
    return Predictions(
        image_ids=image_ids * 4,
        keypoints=np.concatenate([np.stack(poses).round(2), scores[..., None]], axis=-1)
        .reshape(4 * persons, joints, 3)
        .astype(np.float32),
        boxes=(boxes + spread + shift).reshape(-1, 4).astype(np.float32),
        box_scores=box_scores.astype(np.float32),
    )


def mpii(rows: list[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True (P, 16, 3), predicted (P, 16, 2) and head boxes (P, 2, 2) of corners, counted from 1 as
    MPII does, of each person ten times; some joints lose their labels."""
    true = np.array([np.c_[row["joints"], row["joints_vis"]] for row in rows * 10], dtype=float)
    true[..., 2] *= numbers("mpii labels", true.shape[:2]) > -0.8
    heads = np.full((len(true), 2, 2), 100.0)
    heads[:, 1] += 70 + 30 * numbers("mpii heads", (len(true), 2))
    size = 0.6 * np.linalg.norm(heads[:, 1] - heads[:, 0], axis=1)
    distance = 0.7 * size[:, None, None] * numbers("mpii points", (*true.shape[:2], 2))
    return true, true[..., :2] + distance * numbers("mpii spread", true.shape[:2])[..., None], heads


def pixels(name: str, content: dict[str, Any], joints: int) -> tuple:
    """True (P, K, 3), predicted (P, K, 2) and boxes (P, 4) of a file whose measure takes no OKS."""
    keypoints, boxes, _ = people(copies(content))
    keypoints[..., 2] *= numbers(f"{name} labels", keypoints.shape[:2]) > -0.8
    return keypoints, predict(name, keypoints, boxes, np.full(joints, 0.04)), boxes
