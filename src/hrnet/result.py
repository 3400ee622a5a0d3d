"""Poses: what an estimator finds in one picture."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrnet.drawing import draw_poses
from hrnet.skeletons import Skeleton

SCHEMA_VERSION = 1
COUNTED_SCORE = 0.2  # joints below it do not count in a pose's score, as in the official code


@dataclass(frozen=True)
class Poses:
    """The P people found in one picture, with K keypoints each.

    Coordinates are those of COCO annotations: pixels, (0, 0) is the centre of the top-left one.

    Attributes:
        keypoints: (P, K, 2) float32 x, y.
        scores: (P, K) float32 heatmap peaks: about 1 where the network is sure; may exceed 1.
        boxes: (P, 4) float32 x1, y1, x2, y2, before padding.
        box_scores: (P,) float32; 1 for boxes of one's own.
        skeleton: names, limbs and pairs of the keypoints.
        box_source: "given", or "whole" where the whole picture was taken as one person.
        track_ids: (P,) int64, or None outside of videos.
    """

    keypoints: NDArray[np.float32]
    scores: NDArray[np.float32]
    boxes: NDArray[np.float32]
    box_scores: NDArray[np.float32]
    skeleton: Skeleton
    box_source: str
    track_ids: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        people, joints = len(self.boxes), len(self.skeleton)
        shapes = {
            "keypoints": (people, joints, 2),
            "scores": (people, joints),
            "boxes": (people, 4),
            "box_scores": (people,),
        }
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} has shape {getattr(self, name).shape}, not {shape}")

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def pose_scores(self) -> NDArray[np.float32]:
        """(P,) box score times the mean of the joint scores over 0.2 (0 where there is none)."""
        counted = self.scores > COUNTED_SCORE
        total = np.where(counted, self.scores, 0).sum(axis=1)
        return (self.box_scores * total / np.maximum(counted.sum(axis=1), 1)).astype(np.float32)

    def to_dict(self) -> dict[str, Any]:
        """For JSON: `people`, each with keypoints [[x, y, score], ...] in the skeleton's order,
        box, box_score, score and, in videos, track_id; with the skeleton and schema version."""
        people = []
        for i in range(len(self)):
            points = np.concatenate([self.keypoints[i], self.scores[i, :, None]], axis=1)
            person = {
                "keypoints": _rounded(points),
                "score": _rounded(self.pose_scores[i]),
                "box": _rounded(self.boxes[i]),
                "box_score": _rounded(self.box_scores[i]),
            }
            if self.track_ids is not None:
                person["track_id"] = int(self.track_ids[i])
            people.append(person)
        return {
            "schema": SCHEMA_VERSION,
            "box_source": self.box_source,
            "people": people,
            "skeleton": self.skeleton.to_dict(),
        }

    def to_coco(self, image_id: int, category_id: int = 1) -> list[dict[str, Any]]:
        """Rows of a COCO results file: keypoints x1, y1, s1, x2, ..., and the pose's score."""
        points = np.concatenate([self.keypoints, self.scores[..., None]], axis=2)
        return [
            {
                "image_id": image_id,
                "category_id": category_id,
                "keypoints": _rounded(points[i].ravel()),
                "score": float(self.pose_scores[i]),
            }
            for i in range(len(self))
        ]

    def draw(self, image: NDArray[np.uint8], *, min_score: float = 0.2) -> NDArray[np.uint8]:
        """A copy of the picture (H, W, 3) uint8 RGB with the joints that score at least
        `min_score` and the limbs between them."""
        return draw_poses(image, self.keypoints, self.scores, self.skeleton, min_score=min_score)


def _rounded(values: NDArray[np.float32]) -> Any:
    """As Python numbers with three decimals: a thousandth of a pixel."""
    return np.round(values.astype(np.float64), 3).tolist()
