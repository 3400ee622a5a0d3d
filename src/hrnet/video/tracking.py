"""Who is who from frame to frame.

As in SORT (Bewley, Ge, Ott, Ramos, Upcroft: Simple Online and Realtime Tracking, ICIP 2016), people
of a frame are matched with where those of earlier frames should be by now; likeness is, as in Xiao,
Wu, Wei (Simple Baselines for Human Pose Estimation and Tracking, ECCV 2018), OKS, here averaged
with the boxes' intersection over union, which still tells people apart who moved far in between.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hrnet.geometry import box_areas, intersections_over_unions
from hrnet.result import Poses
from hrnet.similarity import AREA_OF_BOX, likest_pairs, oks, sigmas_of

Float = NDArray[np.float64]

LIKE_ENOUGH = 0.15
LOST_AFTER = 1.0  # seconds without being seen
PROBABLE = 0.3  # joints that count
MEMORY = 0.4  # seconds over which the velocity is averaged


@dataclass
class _Track:
    number: int
    keypoints: Float  # (K, 2) in pixels
    certain: NDArray[np.bool_]  # (K,)
    box: Float  # (4,) around the joints
    time: float
    velocity: Float  # (2,) pixels a second


class Tracker:
    """Gives the people in frames of a video numbers, the same one to the same person.

    People are known by where they are alone, so that two who change places behind something may
    change numbers.
    """

    def __init__(self) -> None:
        self._tracks: list[_Track] = []
        self._count = 0

    def __call__(self, poses: Poses, time: float) -> Poses:
        """The same poses with `track_ids`, (P,) from 1 up.

        Args:
            time: of the frame in seconds, after that of the one before.
        """
        self._tracks = [t for t in self._tracks if time - t.time <= LOST_AFTER]
        sure = poses.scores if poses.probability is None else poses.probability
        certain = sure >= PROBABLE
        boxes = np.array([_box(k, c) for k, c in zip(poses.keypoints, certain, strict=True)])
        likeness = self._likeness(poses, certain, boxes.reshape(-1, 4), time)
        chosen = {i: self._tracks[j] for i, j in likest_pairs(likeness, LIKE_ENOUGH)}
        numbers = []
        for i in range(len(poses)):
            points = np.asarray(poses.keypoints[i], np.float64)
            track = chosen.get(i)
            if track is None:
                self._count += 1
                track = _Track(self._count, points, certain[i], boxes[i], time, np.zeros(2))
                self._tracks.append(track)
            else:
                step = max(time - track.time, 1e-6)
                now = _moved(track, points, certain[i]) / step
                track.velocity += (1 - np.exp(-step / MEMORY)) * (now - track.velocity)
                track.keypoints, track.certain = points, certain[i]
                track.box, track.time = boxes[i], time
            numbers.append(track.number)
        return replace(poses, track_ids=np.array(numbers, dtype=np.int64))

    def _likeness(
        self, poses: Poses, certain: NDArray[np.bool_], boxes: Float, time: float
    ) -> Float:
        """(P, tracks) from 0 to 1."""
        if not len(poses) or not self._tracks:
            return np.empty((len(poses), len(self._tracks)))
        shifts = np.array([t.velocity * (time - t.time) for t in self._tracks])
        expected = np.array([t.keypoints for t in self._tracks]) + shifts[:, None]
        known = np.array([t.box for t in self._tracks]) + np.tile(shifts, 2)
        areas = AREA_OF_BOX * box_areas(known)
        sigmas = sigmas_of(poses.skeleton)
        labelled = np.array([t.certain for t in self._tracks])
        similar = np.nan_to_num(oks(poses.keypoints, expected, areas, sigmas, labelled=labelled))
        return np.asarray((similar + intersections_over_unions(boxes, known)) / 2)


def _box(keypoints: NDArray[np.floating], certain: NDArray[np.bool_]) -> Float:
    """Around the joints that count, or all where none does."""
    points = np.asarray(keypoints[certain] if certain.any() else keypoints, np.float64)
    return np.concatenate([points.min(axis=0), points.max(axis=0)])


def _moved(track: _Track, points: Float, certain: NDArray[np.bool_]) -> Float:
    """(2,) pixels, by the joints seen before and after: who is half hidden has not jumped."""
    both = track.certain & certain
    off = points - track.keypoints
    return np.asarray(np.median(off[both] if both.any() else off, axis=0))
