"""People's boxes in the frames of a video between those in which they were looked for."""

import numpy as np
from numpy.typing import NDArray

from hrnet.geometry import intersections_over_unions
from hrnet.similarity import likest_pairs

Float = NDArray[np.float64]

SAME = 0.2  # intersection over union from where two boxes may be one person's


def boxes_between(before: Float | None, after: Float, count: int) -> list[Float]:
    """Boxes of `count` frames, the last of which is the one that `after` is of.

    Of the likest pairs of boxes, each moves along a straight line. Who is in one of both alone is
    there, unmoved, in the half of the frames that is nearer to it.

    Args:
        before: (P, 5) boxes and scores, of the frame before the first of these; None where there is
            none: then all frames have those of `after`.
        after: (Q, 5).
    """
    if before is None:
        return [after] * count
    pairs = likest_pairs(intersections_over_unions(before, after), SAME)
    first, last = ([pair[side] for pair in pairs] for side in (0, 1))
    gone, new = np.delete(before, first, axis=0), np.delete(after, last, axis=0)
    frames = []
    for number in range(1, count + 1):
        share = number / count
        moved = (1 - share) * before[first] + share * after[last]
        frames.append(np.concatenate([moved, gone if share < 0.5 else new]))
    return frames
