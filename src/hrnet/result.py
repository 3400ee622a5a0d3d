"""Poses: what an estimator finds in one picture."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hrnet.drawing import draw_poses
from hrnet.errors import ConfigError, DataError, HRNetError
from hrnet.skeletons import Skeleton
from hrnet.tables import MALFORMED, validate

if TYPE_CHECKING:
    import pandas
    import supervision

SCHEMA_VERSION = 1
ARRAYS = ("keypoints", "scores", "boxes", "box_scores")
OPTIONAL_ARRAYS = ("track_ids", "probability")
COUNTED_SCORE = 0.2  # joints below it do not count in a pose's score, as in the official code


@dataclass(frozen=True)
class Poses:
    """The P people found in one picture, with K keypoints each.

    Coordinates are those of COCO annotations: pixels, (0, 0) is the centre of the top-left one.

    Attributes:
        keypoints: (P, K, 2) float32 x, y.
        scores: (P, K) float32 heatmap peaks: about 1 where the network is sure; may exceed 1.
        boxes: (P, 4) float32 x1, y1, x2, y2, before padding.
        box_scores: (P,) float32; 1 for boxes of one's own that have none.
        skeleton: names, limbs and pairs of the keypoints.
        box_source: "given"; "whole" where the whole picture was taken as one person; "keypoints"
            where boxes are what the joints of `from_coco` span.
        track_ids: (P,) int64, each once, or None outside of videos.
        probability: (P, K) float32, how probable it is that the joint lies where it is said to,
            within the distance that `hrnet.calibration` states; None of models whose card has no
            calibration.

    Raises:
        ValueError: arrays that do not fit each other or the skeleton.
    """

    keypoints: NDArray[np.float32]
    scores: NDArray[np.float32]
    boxes: NDArray[np.float32]
    box_scores: NDArray[np.float32]
    skeleton: Skeleton
    box_source: str
    track_ids: NDArray[np.int64] | None = None
    probability: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        people, joints = len(self.boxes), len(self.skeleton)
        shapes = {
            "keypoints": (people, joints, 2),
            "scores": (people, joints),
            "boxes": (people, 4),
            "box_scores": (people,),
        }
        if self.probability is not None:
            shapes["probability"] = (people, joints)
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} has shape {getattr(self, name).shape}, not {shape}")
        ids = self.track_ids
        if ids is None:
            return
        if ids.shape != (people,) or not np.issubdtype(ids.dtype, np.integer):
            raise ValueError(
                f"track_ids are {ids.dtype} of shape {ids.shape}; they must be whole numbers, one "
                f"for each of the {people} people"
            )
        if len(np.unique(ids)) < people:
            raise ValueError("two people of one picture have the same track id")

    @classmethod
    def empty(cls, skeleton: Skeleton, box_source: str = "given") -> "Poses":
        """Of nobody."""
        joints = len(skeleton)
        return cls(
            keypoints=np.empty((0, joints, 2), np.float32),
            scores=np.empty((0, joints), np.float32),
            boxes=np.empty((0, 4), np.float32),
            box_scores=np.empty(0, np.float32),
            skeleton=skeleton,
            box_source=box_source,
        )

    @classmethod
    def concatenate(cls, several: Sequence["Poses"]) -> "Poses":
        """The people of one picture from several results, in their order.

        Raises:
            ValueError: there are none, or they differ in skeleton or box source, or in whether they
                have track ids or probabilities.
        """
        for what in ("skeleton", "box_source"):
            if len({getattr(poses, what) for poses in several}) != 1:
                raise ValueError(f"poses to join must be of one {what}")
        arrays: dict[str, Any] = {
            n: np.concatenate([getattr(p, n) for p in several]) for n in ARRAYS
        }
        some = [poses for poses in several if len(poses)]
        for name in OPTIONAL_ARRAYS:
            parts = [getattr(p, name) for p in some if getattr(p, name) is not None]
            if parts and len(parts) < len(some):
                raise ValueError(
                    f"poses to join must all have {name.replace('_', ' ')}, or none of them"
                )
            arrays[name] = np.concatenate(parts) if parts else None
        return replace(several[0], **arrays)

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, index: Any) -> "Poses":
        """Some of the people, always as `Poses`: by number, slice, list of numbers, or mask (P,),
        as in `poses[poses.pose_scores > 0.5]`.

        Raises:
            IndexError: there is no such person, or the mask is not of their number.
        """
        rows = np.atleast_1d(np.arange(len(self))[index])
        given = {name: getattr(self, name) for name in (*ARRAYS, *OPTIONAL_ARRAYS)}
        chosen: dict[str, Any] = {n: None if a is None else a[rows] for n, a in given.items()}
        return replace(self, **chosen)

    def __iter__(self) -> Iterator["Poses"]:
        """Each person as `Poses` of one."""
        return (self[i] for i in range(len(self)))

    @property
    def pose_scores(self) -> NDArray[np.float32]:
        """(P,) by which people are ranked: the box's score times the mean of the joints'
        probabilities, or without those of their scores, see `rescore`."""
        if self.probability is not None:
            return self.box_scores * self.probability.mean(axis=1)
        return rescore(self.scores, self.box_scores)

    def to_dict(self) -> dict[str, Any]:
        """For JSON: `people`, each with keypoints [[x, y, score], ...] in the skeleton's order,
        box, box_score, score and, where there are any, probability [...] of the keypoints and
        track_id; with the skeleton and schema version."""
        people = []
        for i in range(len(self)):
            points = np.concatenate([self.keypoints[i], self.scores[i, :, None]], axis=1)
            person = {
                "keypoints": _rounded(points),
                "score": _rounded(self.pose_scores[i]),
                "box": _rounded(self.boxes[i]),
                "box_score": _rounded(self.box_scores[i]),
            }
            if self.probability is not None:
                person["probability"] = _rounded(self.probability[i])
            if self.track_ids is not None:
                person["track_id"] = int(self.track_ids[i])
            people.append(person)
        return {
            "schema": SCHEMA_VERSION,
            "box_source": self.box_source,
            "people": people,
            "skeleton": self.skeleton.to_dict(),
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "Poses":
        """Back from what `to_dict` gives, or a JSON file of `hrnet predict` holds.

        Raises:
            DataError: it is not that.
        """
        try:
            if content["schema"] != SCHEMA_VERSION:
                raise ValueError(f"schema {content['schema']!r}, not {SCHEMA_VERSION}")
            skeleton = validate(Skeleton, content["skeleton"], "skeleton")
            people = content["people"]
            points = _array([p["keypoints"] for p in people], (len(skeleton), 3))
            tracked, probability = (
                [p[key] for p in people if key in p] for key in ("track_id", "probability")
            )
            for key, values in (("track_id", tracked), ("probability", probability)):
                if values and len(values) < len(people):
                    raise ValueError(f"some people have a {key} and others have none")
            return cls(
                keypoints=points[..., :2],
                scores=points[..., 2],
                boxes=_array([p["box"] for p in people], (4,)),
                box_scores=_array([p["box_score"] for p in people], ()),
                skeleton=skeleton,
                box_source=str(content["box_source"]),
                track_ids=np.array(tracked, np.int64) if tracked else None,
                probability=_array(probability, (len(skeleton),)) if probability else None,
            )
        except (ConfigError, *MALFORMED) as error:
            raise _not_poses("poses of one picture, as to_dict gives them", error) from None

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

    @classmethod
    def from_coco(cls, rows: list[dict[str, Any]], skeleton: Skeleton) -> "Poses":
        """Back from rows of a COCO results file that are of one picture.

        Such rows hold no box unless somebody added `bbox`; else the box is what the joints span.
        The box score is what makes the pose's score that of the row.

        Raises:
            DataError: it is not that, or has other keypoints than the skeleton.
        """
        try:
            if len({row.get("image_id") for row in rows}) > 1:
                raise ValueError("the rows are of several pictures; choose one image_id")
            flat = _array([row["keypoints"] for row in rows], (3 * len(skeleton),))
            points = flat.reshape(-1, len(skeleton), 3)
            corners = np.concatenate([points[..., :2].min(axis=1), points[..., :2].max(axis=1)], 1)
            boxed = bool(rows) and all("bbox" in row for row in rows)
            if boxed:
                corners = _array([row["bbox"] for row in rows], (4,))
                corners[:, 2:] += corners[:, :2]
            poses = cls(
                keypoints=points[..., :2],
                scores=points[..., 2],
                boxes=corners,
                box_scores=np.ones(len(rows), np.float32),
                skeleton=skeleton,
                box_source="given" if boxed else "keypoints",
            )
            scores = _array([row["score"] for row in rows], ())
        except MALFORMED as error:
            raise _not_poses("rows of a COCO results file", error) from None
        means = poses.pose_scores
        box_scores = scores / np.where(means > 0, means, 1)
        return replace(poses, box_scores=box_scores.astype(np.float32))

    def to_rows(self) -> list[dict[str, Any]]:
        """One flat row a person, with the columns of `row_columns`, `track_id` in videos, and
        `NAME_probability` for each keypoint where there are any."""
        rows = []
        for i, person in enumerate(self.to_dict()["people"]):
            values = [i, person["score"], *person["box"], person["box_score"]]
            values += [value for point in person["keypoints"] for value in point]
            row = dict(zip(row_columns(self.skeleton), values, strict=True))
            if "probability" in person:
                row |= zip(probability_columns(self.skeleton), person["probability"], strict=True)
            if "track_id" in person:
                row["track_id"] = person["track_id"]
            rows.append(row)
        return rows

    def to_dataframe(self) -> "pandas.DataFrame":
        """The rows of `to_rows` as a pandas table.

        Raises:
            HRNetError: pandas is not installed.
        """
        try:
            import pandas
        except ModuleNotFoundError:
            raise HRNetError("to_dataframe needs pandas: pip install pandas") from None
        rows = self.to_rows()
        return pandas.DataFrame(rows, columns=None if rows else row_columns(self.skeleton))

    def to_supervision(self) -> "supervision.KeyPoints":
        """For Roboflow's supervision: `sv.KeyPoints` of class 0 with the joints' probabilities, or
        scores where there are none; the poses' scores and boxes are its `data`: "score" (P,) and
        "xyxy" (P, 4).

        Raises:
            HRNetError: supervision is not installed.
        """
        try:
            import supervision
        except ModuleNotFoundError:
            raise HRNetError("to_supervision needs supervision: pip install supervision") from None
        people = np.zeros(len(self), int)
        data = {"score": self.pose_scores, "xyxy": self.boxes}
        # By place, as supervision 0.29 gave the third argument another name.
        sure = self.scores if self.probability is None else self.probability
        return supervision.KeyPoints(self.keypoints, people, sure, data=data)

    def draw(self, image: NDArray[np.uint8], *, threshold: float = 0.2) -> NDArray[np.uint8]:
        """A copy of the picture (H, W, 3) uint8 RGB with the joints whose probability, or where
        there is none whose score, is at least `threshold`, and the limbs between them. What is
        less probable than not is a ring, and its limbs are faint."""
        if self.probability is None:
            return draw_poses(
                image, self.keypoints, self.scores, self.skeleton, threshold=threshold
            )
        return draw_poses(
            image,
            self.keypoints,
            self.probability,
            self.skeleton,
            threshold=threshold,
            hollow=self.probability < 0.5,
        )


def rescore(scores: ArrayLike, box_scores: ArrayLike) -> NDArray[np.float32]:
    """Scores of poses as the official code makes them (`lib/dataset/coco.py`), by which AP ranks.

    Args:
        scores: (P, K) of the joints.
        box_scores: (P,)

    Returns:
        (P,) float32 box score times the mean of the joint scores over 0.2 (0 where there is none).
    """
    scores = np.asarray(scores)
    counted = scores > COUNTED_SCORE
    total = np.where(counted, scores, 0).sum(axis=1)
    means = total / np.maximum(counted.sum(axis=1), 1)
    return (np.asarray(box_scores) * means).astype(np.float32)


def row_columns(skeleton: Skeleton) -> list[str]:
    """The names in `Poses.to_rows`: `person` (from 0), `score`, `x1`, `y1`, `x2`, `y2`,
    `box_score`, and for each keypoint `NAME_x`, `NAME_y` and `NAME_score`."""
    joints = [f"{name}_{part}" for name in skeleton.keypoints for part in ("x", "y", "score")]
    return ["person", "score", "x1", "y1", "x2", "y2", "box_score", *joints]


def probability_columns(skeleton: Skeleton) -> list[str]:
    """The names of keypoints' probabilities in `Poses.to_rows`."""
    return [f"{name}_probability" for name in skeleton.keypoints]


def _array(values: Any, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """(P, *shape) finite float32."""
    array = np.array(values, np.float32)
    if len(values) == 0:
        return array.reshape(0, *shape)
    if array.shape[1:] != shape:
        raise ValueError(f"an entry has shape {array.shape[1:]}, not {shape}")
    if not np.isfinite(array).all():
        raise ValueError("a number is not finite")
    return array


def _not_poses(what: str, error: Exception) -> DataError:
    return DataError(f"these are not {what} ({type(error).__name__}: {error})")


def _rounded(values: NDArray[np.float32]) -> Any:
    """As Python numbers with three decimals: a thousandth of a pixel."""
    return np.round(values.astype(np.float64), 3).tolist()
