"""Who is who from frame to frame.

As in SORT (Bewley, Ge, Ott, Ramos, Upcroft: Simple Online and Realtime Tracking, ICIP 2016), people
of a frame are matched with where those of earlier frames should be by now; likeness is, as in Xiao,
Wu, Wei (Simple Baselines for Human Pose Estimation and Tracking, ECCV 2018), OKS, here averaged
with the boxes' intersection over union, which still tells people apart who moved far in between.
Where two could be either, what they look like decides (`hrnet.video.appearance`).

Who is half hidden behind somebody is often given some of that person's joints. So the tracks of two
who pass each other go on as they were going, and what is seen of them only pulls at them. Who comes
out from behind somebody often does not do so where the track should be by now; a new track that
looks like one that is not seen, and clearly less like all others nearby, is that one.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from hrnet.geometry import box_areas, intersections_over_unions, shared_areas
from hrnet.images import Image
from hrnet.result import Poses
from hrnet.similarity import AREA_OF_BOX, likest_pairs, oks, sigmas_of
from hrnet.video.appearance import BINS, looks_of, unlikeness

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
# Looks: two are of one person up to so far apart, if those of others are so much further; a
# person's is averaged over so many seconds of being alone.
ALIKE, CLEARLY, STEADY = 0.3, 0.1, 1.0
# A track is new for so many seconds, in which it may be known for one that is not seen, no further
# from where that should be than its side and so many sides a second since.
NEW, PACE = 1.0, 1.5


@dataclass(eq=False)
class _Track:
    number: int
    keypoints: Float  # (K, 2) in pixels, where they should be by now
    certain: NDArray[np.bool_]  # (K,)
    box: Float  # (4,) around the joints
    seen: float  # when it was last
    believed: float  # when it last passed nobody
    begun: float
    frames: int = 1  # in how many it was
    velocity: Float = field(default_factory=lambda: np.zeros(2))  # pixels a second
    look: Float = field(default_factory=lambda: np.full(BINS, np.nan))  # NaN until it was alone

    def move(self, shift: Float) -> None:
        """By (2,) pixels."""
        self.keypoints = self.keypoints + shift
        self.box = self.box + np.tile(shift, 2)

    def learn(self, look: Float, passed: float) -> None:
        """A look (BINS,) so many seconds after the one before."""
        if np.isnan(self.look).any():
            self.look = look
        elif not np.isnan(look).any():
            self.look = self.look + (1 - np.exp(-passed / STEADY)) * (look - self.look)


class Tracker:
    """Gives the people in frames of a video numbers, the same one to the same person.

    People are known by where they are, where they were going alone, and the colours that they then
    had, so that two who are dressed alike and change places behind something may change numbers.
    """

    def __init__(self) -> None:
        self._tracks: list[_Track] = []
        self._count = 0
        self._time = 0.0

    def __call__(self, poses: Poses, time: float, image: Image) -> Poses:
        """The same poses with `track_ids`, (P,) from 1 up.

        Args:
            time: of the frame in seconds, after that of the one before.
            image: the frame, (H, W, 3) uint8 RGB.
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
        boxes = boxes.reshape(-1, 4)
        looks = looks_of(image, poses, certain)
        before = list(self._tracks)
        apart = unlikeness(looks, np.array([t.look for t in before]).reshape(-1, BINS))
        resembled = self._resembled(apart, boxes)
        near = self._likeness(poses, boxes)
        # Whoever looks like one is not another who looks different.
        is_other = (resembled[:, None] >= 0) & (resembled[:, None] != np.arange(len(before)))
        near[is_other & (apart >= ALIKE)] = 0
        like = near * (1 - np.nan_to_num(apart, nan=ALIKE))
        chosen = dict(likest_pairs(np.where(near < LIKE_ENOUGH, -1, like), 0))
        passing = self._passing()
        large = _enlarged(boxes)
        is_alone = (shared_areas(large, large) > 0).sum(axis=1) <= 1
        seen = []
        for i in range(len(poses)):
            points = np.asarray(poses.keypoints[i], np.float64)
            if i not in chosen:
                self._count += 1
                track = _Track(self._count, points, certain[i], boxes[i], time, time, time)
                self._tracks.append(track)
                passed = 0.0
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
            if is_alone[i]:
                track.learn(looks[i], passed)
            seen.append(track)
        for track, whom in zip(seen, resembled, strict=True):
            if whom >= 0 and time - track.begun <= NEW:
                self._recognise(track, before[whom])
        return replace(poses, track_ids=np.array([t.number for t in seen], dtype=np.int64))

    def _resembled(self, apart: Float, boxes: Float) -> NDArray[np.int64]:
        """(P,) the track whose look is that of somebody in boxes (P, 4), and clearly more so than
        those of all others that could be there, or -1."""
        if not self._tracks:
            return np.full(len(boxes), -1)
        known = np.array([t.box for t in self._tracks])
        centres, expected = ((b[:, :2] + b[:, 2:]) / 2 for b in (boxes, known))
        far = np.linalg.norm(centres[:, None] - expected, axis=2)
        unseen = self._time - np.array([t.seen for t in self._tracks])
        reach = np.sqrt(box_areas(known)) * (1 + PACE * unseen)
        is_new = np.array([self._time - t.begun <= NEW for t in self._tracks])
        own = np.where((far <= reach) & ~is_new & ~np.isnan(apart), apart, 1.0)
        own = np.append(own, np.ones((len(boxes), 1)), axis=1)  # so that there is a second one
        likest, second = np.sort(own, axis=1)[:, :2].T
        return np.where((likest < ALIKE) & (likest + CLEARLY < second), own.argmin(axis=1), -1)

    def _recognise(self, new: _Track, old: _Track) -> None:
        """A new track gets the number of an old one that it looks like and that is not seen any
        more, if that was so when it began; or else where that one is: one was found twice."""
        overlap = shared_areas(new.box[None], old.box[None])[0, 0] > 0
        if old.seen < self._time and (old.seen < new.begun or overlap):
            new.number, new.begun, new.look = old.number, old.begun, old.look
            new.frames += old.frames
            old.seen = self._time  # by nobody else now
            self._tracks.remove(old)

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
        boxes = _enlarged(np.array([t.box for t in self._tracks]))
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


def _enlarged(boxes: Float) -> Float:
    longer = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True, initial=0)
    return boxes + ENLARGED * longer * np.array([-1.0, -1.0, 1.0, 1.0])


def _off(track: _Track, points: Float, certain: NDArray[np.bool_]) -> Float:
    """(2,) pixels from where a track should be, by the joints seen before and after: who is half
    hidden has not jumped."""
    both = track.certain & certain
    off = points - track.keypoints
    return np.asarray(np.median(off[both] if both.any() else off, axis=0))
