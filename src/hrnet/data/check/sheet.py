"""What training will see, to be looked at: crops with their joints."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrnet.data.batches.loading import CropDataset
from hrnet.data.batches.plan import Augmentation
from hrnet.data.check.checking import Report
from hrnet.data.coco import read_coco
from hrnet.data.people import People
from hrnet.drawing import contact_sheet, draw_poses
from hrnet.errors import DataError
from hrnet.skeletons import Skeleton

PEOPLE, DRAWS, SIZE = 16, 2, (192, 256)
PAPERS = Augmentation()  # for COCO


def crop_sheet(
    people: People,
    skeleton: Skeleton,
    *,
    augmentation: Augmentation = PAPERS,
    input_size: tuple[int, int] = SIZE,
    padding: float = 1.25,
    unbiased: bool = False,
    seed: int = 0,
) -> NDArray[np.uint8]:
    """Some people, each as the padded box's crop and twice augmented, by the path that training
    takes. Occluded joints (v = 1) of the first crop are rings.

    Args:
        augmentation, input_size, padding, unbiased: as for `CropDataset`.
        seed: of the choice of at most 16 people, and of the augmentation.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        ImageError: a picture is missing or broken, or there are no people.
    """
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.choice(len(people), size=min(PEOPLE, len(people)), replace=False))
    plain, augmented = (
        CropDataset(
            [(people, changes)],
            skeleton,
            input_size,
            padding=padding,
            unbiased=unbiased,
            seed=seed,
        )
        for changes in (None, augmentation)
    )
    pictures, captions = [], []
    for index in chosen.tolist():
        for draw in range(1 + DRAWS):
            sample = (augmented if draw else plain)[np.array([[draw, index]])]
            # A mirrored crop's joints have changed places: which one is occluded is not known.
            occluded = None if draw else people.keypoints[index, None, :, 2] == 1
            pictures.append(
                draw_poses(
                    sample.crops[0].numpy(),
                    sample.points.numpy(),
                    sample.visible.float().numpy(),
                    skeleton,
                    hollow=occluded,
                )
            )
            what = "augmented" if draw else people.files[index].name
            captions.append(f"{people.annotation_ids[index]}: {what}")
    return contact_sheet(pictures, captions, columns=2 * (1 + DRAWS))


def checked_sheet(report: Report, **settings: Any) -> NDArray[np.uint8]:
    """`crop_sheet` of a data set that was checked, without people whose picture cannot be read.

    Args:
        settings: of `crop_sheet`.

    Raises:
        DataError: no skeleton is known, or the file has faults that keep it from being read.
        ImageError: nobody is left.
    """
    if report.skeleton is None:
        raise DataError(f"{report.file} does not name its keypoints; give a skeleton")
    people = read_coco(report.file, report.images, skeleton=report.skeleton)
    people = replace(people, orient=report.orient)
    unreadable = [
        id_
        for finding in report.findings
        if finding.kind in ("missing_picture", "broken_picture")
        for id_, _ in finding.cases
    ]
    readable = people.select(~np.isin(people.image_ids, unreadable))
    return crop_sheet(readable, report.skeleton, **settings)
