"""Where left and right are exchanged, as far as geometry can tell.

A limb on the left (a, b) and its mirror on the right (a', b') rarely cross each other; exchange one
of their two pairs of joints, and they do. Lines that cross are longer together than the same four
ends joined the other way, so a limb pair's evidence is

    e = 1 - (|a b'| + |a' b|) / (|a b| + |a' b'|)

the share of length that is saved by exchanging one end: positive where the limbs cross.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hrnet.skeletons import Skeleton

# Legs and forearms are crossed in life, but hardly a knee or an elbow to both sides of it. Measured
# on COCO's and LSP's people: these raise 0 to 2 suspicions in 100 people.
WHOLE_PAIR = 0.1  # evidence of all limbs at one pair of joints together
ONE_LIMB = 0.3  # evidence of a single limb pair with further limbs at both of its ends
FEWEST = 10  # people, to say something of a whole data set


@dataclass(frozen=True)
class _LimbPair:
    """Two pairs of joints, each (left, right) as positions, and the limbs between them."""

    a: tuple[int, int]
    b: tuple[int, int]


def suspected_swaps(keypoints: NDArray[np.float64], skeleton: Skeleton) -> dict[int, list[str]]:
    """People whose left and right seem exchanged at some joint.

    A pair of joints is suspected where the limbs to both sides of it cross; a limb where it crosses
    its mirror by far, and both have further limbs at their ends (crossed ankles and wrists say
    nothing).

    Args:
        keypoints: (P, K, 3) x, y, v.

    Returns:
        For the rows of suspected people what is suspected, as names of joints or limbs.
    """
    limbs = _limb_pairs(skeleton)
    lengths = [_lengths(keypoints, limb) for limb in limbs]
    suspected: dict[int, list[str]] = {}
    explained: dict[int, set[tuple[int, int]]] = {}
    for pair in _pairs(limbs):
        at_pair = [lengths[i] for i, limb in enumerate(limbs) if pair in (limb.a, limb.b)]
        labelled = np.array([~np.isnan(straight) for straight, _ in at_pair])
        saved = np.array([straight > crossed for straight, crossed in at_pair])
        before, after = np.nansum(np.array(at_pair), axis=0)
        found = (labelled.sum(axis=0) >= 2) & (saved | ~labelled).all(axis=0)
        found &= after < (1 - WHOLE_PAIR) * before
        for row in np.flatnonzero(found).tolist():
            suspected.setdefault(row, []).append(_joints(skeleton, pair))
            explained.setdefault(row, set()).add(pair)
    for limb, (straight, crossed) in zip(limbs, lengths, strict=True):
        if min(sum(end in (o.a, o.b) for o in limbs) for end in (limb.a, limb.b)) < 2:
            continue
        for row in np.flatnonzero(crossed < (1 - ONE_LIMB) * straight).tolist():
            if not {limb.a, limb.b} & explained.get(row, set()):
                a, b = _joints(skeleton, limb.a), _joints(skeleton, limb.b)
                suspected.setdefault(row, []).append(f"{a} against {b}")
    return dict(sorted(suspected.items()))


def swapped_pairs(keypoints: NDArray[np.float64], skeleton: Skeleton) -> list[tuple[str, str]]:
    """Pairs (left, right) that are exchanged in the whole data set: their limbs cross in most
    people. Of pairs that contradict each other, the smaller group is named.

    Args:
        keypoints: (P, K, 3) x, y, v.
    """
    limbs = _limb_pairs(skeleton)
    neighbours: dict[tuple[int, int], list[tuple[tuple[int, int], bool]]] = {}
    for limb in limbs:
        straight, crossed = _lengths(keypoints, limb)
        told = straight != crossed  # all four ends in a line, or two in one place, say nothing
        told &= ~np.isnan(straight)
        if told.sum() < FEWEST:
            continue
        crosses = bool(np.mean(crossed[told] < straight[told]) > 0.5)
        neighbours.setdefault(limb.a, []).append((limb.b, crosses))
        neighbours.setdefault(limb.b, []).append((limb.a, crosses))
    swapped: list[tuple[int, int]] = []
    side: dict[tuple[int, int], bool] = {}
    for start in neighbours:
        if start in side:
            continue
        side[start] = False
        group = [start]
        for pair in group:  # which grows
            for next_, crosses in neighbours[pair]:
                if next_ not in side:
                    side[next_] = side[pair] ^ crosses
                    group.append(next_)
        one, other = ([p for p in group if side[p] == which] for which in (True, False))
        swapped += one if len(one) <= len(other) else other
    return [(skeleton.keypoints[left], skeleton.keypoints[right]) for left, right in swapped]


def mirrored_faces(keypoints: NDArray[np.float64], skeleton: Skeleton) -> tuple[int, int] | None:
    """How many faces have left and right exchanged, as (mirrored, all that tell): whoever looks at
    a face has its left eye on the right, seen from the nose as the lower end. (That is so in 99 %
    of COCO's faces.) None where the skeleton has no nose and eyes.

    Args:
        keypoints: (P, K, 3) x, y, v.
    """
    names = ("nose", "left_eye", "right_eye")
    if not set(names) <= set(skeleton.keypoints):
        return None
    face = keypoints[:, [skeleton.index(name) for name in names]]
    nose, left, right = face[(face[..., 2] > 0).all(axis=1), :, :2].transpose(1, 0, 2)
    across, down = left - right, nose - (left + right) / 2
    turn = across[:, 0] * down[:, 1] - across[:, 1] * down[:, 0]
    return int((turn < 0).sum()), int((turn != 0).sum())


def _limb_pairs(skeleton: Skeleton) -> list[_LimbPair]:
    """The limbs that have a mirror, each once; not those across the body or to its middle."""
    pair_of = {}
    for left, right in skeleton.pairs:
        pair = skeleton.index(left), skeleton.index(right)
        pair_of[pair[0]] = pair_of[pair[1]] = pair
    found = {}
    for a, b in skeleton.limb_indices:
        if a in pair_of and b in pair_of and pair_of[a] != pair_of[b]:
            ends = sorted((pair_of[a], pair_of[b]))
            found[ends[0], ends[1]] = _LimbPair(ends[0], ends[1])
    return list(found.values())


def _pairs(limbs: list[_LimbPair]) -> list[tuple[int, int]]:
    return sorted({end for limb in limbs for end in (limb.a, limb.b)})


def _lengths(
    keypoints: NDArray[np.float64], limb: _LimbPair
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(P,) lengths of both limbs as labelled, and with one end exchanged; NaN if not labelled."""
    ends = keypoints[:, [*limb.a, *limb.b]]
    left_a, right_a, left_b, right_b = ends[..., :2].transpose(1, 0, 2)

    def length(p: NDArray[np.float64], q: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.linalg.norm(p - q, axis=1))

    labelled = (ends[..., 2] > 0).all(axis=1)
    straight = length(left_a, left_b) + length(right_a, right_b)
    crossed = length(left_a, right_b) + length(right_a, left_b)
    return np.where(labelled, straight, np.nan), np.where(labelled, crossed, np.nan)


def _joints(skeleton: Skeleton, pair: tuple[int, int]) -> str:
    return "/".join(skeleton.keypoints[i] for i in pair)
