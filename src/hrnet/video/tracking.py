"""Who is who from frame to frame.

As in SORT (Bewley, Ge, Ott, Ramos, Upcroft: Simple Online and Realtime Tracking, ICIP 2016), people
of a frame are matched with where those of earlier frames should be by now; likeness is, as in Xiao,
Wu, Wei (Simple Baselines for Human Pose Estimation and Tracking, ECCV 2018), OKS, here averaged
with the boxes' intersection over union, which still tells people apart who moved far in between.

Who is half hidden behind somebody is often given some of that person's joints. So the tracks of two
who pass each other go on as they were going, and what is seen of them only pulls at them.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from hrnet.geometry import box_areas, intersections_over_unions, shared_areas
from hrnet.result import Poses
from hrnet.similarity import AREA_OF_BOX, likest_pairs, oks, sigmas_of

Float = NDArray[np.float64]

LIKE_ENOUGH = 0.15
PROBABLE = 0.3  # joints that count
# Seconds without being seen after which a track ends: of somebody, and of what was seen in fewer
# frames than makes somebody.
LOST_AFTER, GONE_AFTER, SOMEBODY = 2.0, 0.2, 5
MEMORY = 0.4  # seconds over which the velocity is averaged
# Two pass each other where so much of a box, enlarged by so much of its longer side each way, as
# joints get lost before those of two meet, lies in the other one, and they move against each other
# by so many of its sides (the root of its area) a second; for so many seconds at most.
ENLARGED = 0.1
OVERLAPPED, AGAINST, LONGEST = 0.05, 0.4, 1.5
PULL = 0.3  # seconds in which what is seen pulls such a track to itself


@dataclass
class _Track:
    number: int
    keypoints: Float  # (K, 2) in pixels, where they should be by now
    certain: NDArray[np.bool_]  # (K,)
    box: Float  # (4,) around the joints
    seen: float  # when it was last
    believed: float  # when it last passed nobody
    frames: int = 1  # in how many it was
    velocity: Float = field(default_factory=lambda: np.zeros(2))  # pixels a second

    def move(self, shift: Float) -> None:
        """By (2,) pixels."""
        self.keypoints = self.keypoints + shift
        self.box = self.box + np.tile(shift, 2)


class Tracker:
    """Gives the people in frames of a video numbers, the same one to the same person.

    People are known by where they are and where they were going alone, so that two who change
    places behind something may change numbers.
    """

    def __init__(self) -> None:
        self._tracks: list[_Track] = []
        self._count = 0
        self._time = 0.0

    def __call__(self, poses: Poses, time: float) -> Poses:
        """The same poses with `track_ids`, (P,) from 1 up.

        Args:
            time: of the frame in seconds, after that of the one before.
        """
        self._tracks = [
            track
            for track in self._tracks
            if track.seen == self._time  # in the frame before, however long that is ago
            or time - track.seen <= (LOST_AFTER if track.frames >= SOMEBODY else GONE_AFTER)
        ]
        for track in self._tracks:
            track.move(track.velocity * (time - self._time))
        self._time = time
        sure = poses.scores if poses.probability is None else poses.probability
        certain = sure >= PROBABLE
        boxes = np.array([_box(k, c) for k, c in zip(poses.keypoints, certain, strict=True)])
        chosen = dict(likest_pairs(self._likeness(poses, boxes.reshape(-1, 4)), LIKE_ENOUGH))
        passing = self._passing()
        numbers = []
        for i in range(len(poses)):
            points = np.asarray(poses.keypoints[i], np.float64)
            if i not in chosen:
                self._count += 1
                track = _Track(self._count, points, certain[i], boxes[i], time, time)
                self._tracks.append(track)
            else:
                track = self._tracks[chosen[i]]
                off = _off(track, points, certain[i])
                passed = max(time - track.seen, 1e-6)
                if passing[chosen[i]] and time - track.believed < LONGEST:
                    track.move((1 - np.exp(-passed / PULL)) * off)
                else:
                    track.velocity += (1 - np.exp(-passed / MEMORY)) * off / passed
                    track.keypoints, track.certain, track.box = points, certain[i], boxes[i]
                    track.believed = time
                track.seen = time
                track.frames += 1
            numbers.append(track.number)
        return replace(poses, track_ids=np.array(numbers, dtype=np.int64))

    def _likeness(self, poses: Poses, boxes: Float) -> Float:
        """(P, tracks) from 0 to 1."""
        if not len(poses) or not self._tracks:
            return np.empty((len(poses), len(self._tracks)))
        expected = np.array([t.keypoints for t in self._tracks])
        known = np.array([t.box for t in self._tracks])
        areas = AREA_OF_BOX * box_areas(known)
        sigmas = sigmas_of(poses.skeleton)
        labelled = np.array([t.certain for t in self._tracks])
        similar = np.nan_to_num(oks(poses.keypoints, expected, areas, sigmas, labelled=labelled))
        return np.asarray((similar + intersections_over_unions(boxes, known)) / 2)

    def _passing(self) -> NDArray[np.bool_]:
        """(tracks,) whether one passes somebody."""
        if not self._tracks:
            return np.zeros(0, bool)
        boxes = np.array([t.box for t in self._tracks])
        longer = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True)
        boxes += ENLARGED * longer * np.array([-1.0, -1.0, 1.0, 1.0])
        areas = box_areas(boxes)[:, None]
        velocities = np.array([t.velocity for t in self._tracks])
        against = np.linalg.norm(velocities[:, None] - velocities, axis=2)
        is_passing = (shared_areas(boxes, boxes) > OVERLAPPED * areas) & (
            against > AGAINST * np.sqrt(areas)
        )
        return np.asarray(is_passing[:, [t.frames >= SOMEBODY for t in self._tracks]].any(axis=1))


def _box(keypoints: NDArray[np.floating], certain: NDArray[np.bool_]) -> Float:
    """Around the joints that count, or all where none does."""
    points = np.asarray(keypoints[certain] if certain.any() else keypoints, np.float64)
    return np.concatenate([points.min(axis=0), points.max(axis=0)])


def _off(track: _Track, points: Float, certain: NDArray[np.bool_]) -> Float:
    """(2,) pixels from where a track should be, by the joints seen before and after: who is half
    hidden has not jumped."""
    both = track.certain & certain
    off = points - track.keypoints
    return np.asarray(np.median(off[both] if both.any() else off, axis=0))
