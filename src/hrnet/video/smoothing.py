"""Joints that do not shake: the One Euro filter (Casiez, Roussel, Vogel: 1 Euro Filter: A Simple
Speed-based Low-pass Filter for Noisy Input in Interactive Systems, CHI 2012), one a joint of each
track. What hardly moves is smoothed much, what moves fast little, so that it does not lag."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hrnet.result import Poses

Float = NDArray[np.float64]

MIN_CUTOFF = 1.0  # hertz, of what does not move
SPEED = 3.0  # hertz of cutoff more for each size a second (the root of the box's area)
SPEED_CUTOFF = 1.0  # hertz, of the speed itself
FORGOTTEN = 1.0  # seconds after which a track begins anew


@dataclass
class _State:
    place: Float  # (K, 2) pixels
    speed: Float  # (K, 2) pixels a second
    time: float


class Smoother:
    """Smooths the joints of people with track ids; other people stay as they are."""

    def __init__(self) -> None:
        self._states: dict[int, _State] = {}

    def __call__(self, poses: Poses, time: float) -> Poses:
        """The same poses with smoothed keypoints.

        Args:
            time: of the frame in seconds, after that of the one before.
        """
        self._states = {n: s for n, s in self._states.items() if time - s.time <= FORGOTTEN}
        if poses.track_ids is None:
            return poses
        keypoints = poses.keypoints.copy()
        for i, number in enumerate(poses.track_ids.tolist()):
            x1, y1, x2, y2 = poses.boxes[i].tolist()
            size = max(1.0, (x2 - x1) * (y2 - y1)) ** 0.5
            keypoints[i] = self._smooth(number, keypoints[i].astype(np.float64), size, time)
        return replace(poses, keypoints=keypoints)

    def _smooth(self, number: int, points: Float, size: float, time: float) -> Float:
        state = self._states.get(number)
        if state is None:
            self._states[number] = _State(points, np.zeros_like(points), time)
            return points
        step = time - state.time
        if step <= 0:
            return state.place
        speed = _between(state.speed, (points - state.place) / step, SPEED_CUTOFF, step)
        fast = np.linalg.norm(speed, axis=1, keepdims=True) / size
        place = _between(state.place, points, MIN_CUTOFF + SPEED * fast, step)
        self._states[number] = _State(place, speed, time)
        return place


def _between(before: Float, now: Float, cutoff: Float | float, step: float) -> Float:
    """A low-pass filter's next value."""
    share = 1 / (1 + 1 / (2 * np.pi * cutoff * step))
    return np.asarray(share * now + (1 - share) * before)
