"""OKS sigmas of a skeleton of one's own: how far people who label the same are apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hrnet.data.people import People
from hrnet.data.reading import read_people, read_skeleton
from hrnet.errors import ConfigError, DataError
from hrnet.similarity import TYPICAL_SIGMA, likest_pairs, oks
from hrnet.skeletons import Skeleton

LIKE = 0.1  # OKS from which two labels of a picture may be of the same person
FEW = 30  # joints, under which a spread is hardly known


@dataclass(frozen=True)
class Spread:
    """How far labels of the same joints are apart.

    Attributes:
        skeleton: of the files.
        sigmas: (K,) by joint; NaN where nobody labelled it twice.
        joints: (K,) how many of each were labelled by several.
        people: who were labelled by several.
        alone: people of the first file whom no other file has.
    """

    skeleton: Skeleton
    sigmas: NDArray[np.float64]
    joints: NDArray[np.int64]
    people: int
    alone: int


def measure_sigmas(files: Sequence[str | Path], images: str | Path | None = None) -> Spread:
    """Each joint's standard deviation about the mean of its labels, as a share of the root of the
    person's area: sigma^2 = E[sum |x - mean|^2 / (n - 1) / area], of n labels each. COCO's were
    measured on labels of 5,000 pictures in this way (cocodataset.org/#keypoints-eval).

    Args:
        files: two or more, in COCO's format, of the same pictures by their names; people are known
            by their place.
        images: folder of the pictures.

    Raises:
        ConfigError: there are fewer than two files.
        DataError: they share no picture or nobody, or do not have the first one's keypoints.
    """
    if len(files) < 2:
        raise ConfigError("give two files or more, in which different people labelled the same")
    skeleton = read_skeleton(files[0])
    first, *others = (read_people(file, skeleton, images) for file in files)
    labels = [first.keypoints]
    for file, people in zip(files[1:], others, strict=True):
        labels.append(_same_people(first, people, skeleton))
        if not np.isfinite(labels[-1][..., 0]).any():
            raise DataError(f"{file} and {files[0]} have no person in common, by name of picture")
    points = np.stack(labels)  # (files, P, K, 3); NaN for whom a file does not have
    labelled = np.nan_to_num(points[..., 2:]) > 0
    count = labelled.sum(axis=0)[..., 0]
    places = np.where(labelled, points[..., :2], 0)
    mean = places.sum(axis=0) / np.maximum(count, 1)[..., None]
    squared = np.where(labelled, (places - mean) ** 2, 0).sum(axis=(0, 3))
    several = count > 1
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = squared / (count - 1) / first.areas[:, None]
        sigmas = np.sqrt(np.where(several, variance, 0).sum(axis=0) / several.sum(axis=0))
    known = several.any(axis=1)
    return Spread(skeleton, sigmas, several.sum(axis=0), int(known.sum()), int((~known).sum()))


def _same_people(first: People, other: People, skeleton: Skeleton) -> NDArray[np.float64]:
    """(P, K, 3) the other file's labels of the first one's people, the likest pairs of each picture
    first; NaN of whom it does not have."""
    found = np.full(first.keypoints.shape, np.nan)
    own, theirs = ([file.name for file in people.files] for people in (first, other))
    for name in set(own) & set(theirs):
        rows = [i for i, n in enumerate(own) if n == name]
        columns = [i for i, n in enumerate(theirs) if n == name]
        likeness = oks(
            other.keypoints[columns],
            first.keypoints[rows],
            first.areas[rows],
            [TYPICAL_SIGMA] * len(skeleton),
            labelled=first.keypoints[rows][..., 2] > 0,
        )
        for j, i in likest_pairs(likeness, np.nextafter(LIKE, 1)):  # more than LIKE
            found[rows[i]] = other.keypoints[columns[j]]
    return found
