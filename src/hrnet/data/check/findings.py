"""What can be wrong with an annotation file, and what was found."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrnet.data.annotations import Entry

# What is wrong where it is found, in the order of the report.
FAULTS = {
    "bad_id": "pictures or people whose id is missing or no whole number",
    "duplicate_image_id": "pictures with the id of another one",
    "duplicate_file_name": "pictures with the file of another one",
    "bad_picture_entry": "pictures without a file_name, or a width and height of at least 1",
    "missing_picture": "pictures whose file is not there",
    "unclear_picture": "pictures whose name might be that of one file or another",
    "broken_picture": "pictures whose file is no whole picture",
    "orientation": "pictures that their EXIF data turn, and whose labels may be of the picture "
    'turned upright (orient = "exif"), as many tools show it, or of the stored pixels ("stored"); '
    "say which",
    "wrong_size": "pictures of another size than the annotation file says",
    "no_keypoint_names": "categories without keypoint names, which training needs",
    "keypoint_named_twice": "categories with two keypoints of one name",
    "unclear_pair": "keypoints that may be left and right, which no name tells: give pairs in a "
    "skeleton's TOML file (--skeleton), or on_axis = true if they keep their names in a mirror",
    "other_keypoints": "categories whose keypoints are not those of the skeleton",
    "unknown_image": "people of a picture that is not listed",
    "unknown_category": "people of a category that is not listed",
    "duplicate_annotation_id": "people with the id of another one",
    "bad_box": "people whose bbox is not four numbers x, y, width, height, or is empty; training "
    "takes the box of their joints in the picture where it is missing, empty or not finite",
    "box_outside": "people whose box is outside the picture; training takes that of their joints",
    "bad_area": "people whose area is not above 0, or larger than the picture",
    "bad_keypoints": "people whose keypoints are not three numbers for each name",
    "bad_visibility": "people with a visibility other than 0, 1 and 2",
    "labelled_at_origin": "people with a labelled joint at (0, 0), which stands for no label",
    "wrong_num_keypoints": "people whose num_keypoints is not the number of labelled joints",
    "joint_outside_picture": "people with a labelled joint outside the picture",
    "joint_far_from_box": "people with a labelled joint far from their box: by half its longer "
    "side and more",
    "all_joints_in_one_place": "people whose labelled joints are all in the same place",
    "same_person_twice": "people with the same joints as another one of the picture",
    "sides_swapped": "pairs of joints whose left and right are exchanged in most people",
    "sides_mirrored": "left and right are the viewer's, not the person's own, in most faces",
}
NOTES = {
    "not_mirrored": "skeletons without left and right: training does not mirror their pictures",
    "suspected_swap": "people whose left and right may be exchanged at some joints; look at them",
    "box_partly_outside": "people whose box goes beyond the picture; training clips it",
    "unlabelled_with_place": "people with joints that have a place and v = 0; these are not "
    "trained on",
    "nobody_labelled": "people without a labelled joint; training leaves them out",
    "no_area": "people without an area, for which evaluation takes 0.53 of the box's",
    "named_otherwise": "pictures found in another way than by their path",
    "turned_picture": "pictures that their EXIF data turn, and how their labels are taken",
    "crowd": "crowds (iscrowd = 1), which training leaves out; they are not checked further",
    "picture_without_people": "pictures without people",
    "never_labelled": "keypoints that nobody has labelled",
    "other_category": "people of another category than the first that has any; training takes them "
    "for the same",
}


@dataclass(frozen=True)
class Finding:
    """One kind of fault, or of what is worth a note.

    Attributes:
        kind: a key of FAULTS or NOTES.
        cases: id (of a picture, person or category, by the kind, as it stands in the file; or a
            joint's name) and a few words on the case, which may be empty.
    """

    kind: str
    cases: list[tuple[Any, str]]

    @property
    def is_fault(self) -> bool:
        """Whether it must be mended, not only looked at."""
        return self.kind in FAULTS

    @property
    def meaning(self) -> str:
        """What the kind says, in words."""
        return FAULTS.get(self.kind) or NOTES[self.kind]


class Found(dict[str, list[tuple[Any, str]]]):
    """Cases by kind, as they are found."""

    def add(self, kind: str, id_: Any, what: str = "") -> None:
        """One more case of a kind of FAULTS or NOTES."""
        assert kind in FAULTS or kind in NOTES
        self.setdefault(kind, []).append((id_, what))


def entry_id(entry: Entry, found: Found) -> int | None:
    """The id of a picture or person; None, and a fault, if it is no whole number."""
    id_ = whole_number(entry.get("id"))
    if id_ is None:
        found.add("bad_id", entry.get("id"), str(entry.get("file_name", "")))
    return id_


def whole_number(value: Any) -> int | None:
    """The value if it is one, else None."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def numbers(value: Any) -> NDArray[np.float64] | None:
    """A list of finite numbers as an array, or None."""
    if not isinstance(value, list) or any(
        not isinstance(item, (int, float)) or isinstance(item, bool) for item in value
    ):
        return None
    try:
        array = np.array(value, dtype=np.float64)
    except OverflowError:  # a whole number beyond all floats
        return None
    return array if np.isfinite(array).all() else None
