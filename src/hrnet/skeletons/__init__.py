"""What the points are: names, pairs, limbs and OKS sigmas, one TOML file a skeleton."""

from collections.abc import Iterable, Sequence
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, model_validator

from hrnet.errors import ConfigError
from hrnet.skeletons.sides import pairs_by_name
from hrnet.tables import nearest_names, read_table, validate

Colour = tuple[int, int, int]


class Colours(BaseModel):
    """RGB of joints and limbs.

    Attributes:
        left, right: of the side of the body.
        middle: of neither.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    left: Colour = (0, 200, 83)
    right: Colour = (255, 109, 0)
    middle: Colour = (41, 121, 255)


class Skeleton(BaseModel):
    """The K keypoints of a model or data set and how they belong together.

    Attributes:
        schema: of this table; 1.
        name: what it is called.
        title: whose points they are, in words.
        keypoints: names, in the order of the model's heatmaps.
        sigmas: per-keypoint constants of OKS (a share of the root of the person's area), or None
            where there is no agreed figure.
        upper_body: names for half-body augmentation; empty switches it off.
        torso: the two names whose distance normalises PCK, or None.
        interocular: the outer corners of the eyes, whose distance normalises NME of faces, or None.
        pairs: (left, right) names that swap when the picture is mirrored; what is in none keeps its
            name.
        on_axis: of a skeleton without pairs, that its points keep their names in a mirrored
            picture: they lie on the axis, or left and right are not told apart (hands).
        limbs: pairs of names to draw a line between.
        colours: to draw in.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = Field(alias="schema")
    name: str
    title: str = ""
    keypoints: tuple[str, ...] = Field(min_length=1)
    sigmas: tuple[PositiveFloat, ...] | None = None
    upper_body: tuple[str, ...] = ()
    torso: tuple[str, str] | None = None
    interocular: tuple[str, str] | None = None
    pairs: tuple[tuple[str, str], ...] = ()
    on_axis: bool = False
    limbs: tuple[tuple[str, str], ...] = ()
    colours: Colours = Colours()

    @model_validator(mode="after")
    def _names_exist(self) -> "Skeleton":
        if twice := named_twice(self.keypoints):
            raise ValueError(f"the keypoint {twice!r} is named twice")
        if self.sigmas is not None and len(self.sigmas) != len(self.keypoints):
            raise ValueError(f"{len(self.sigmas)} sigmas for {len(self.keypoints)} keypoints")
        used = [*self.upper_body, *(self.torso or ()), *(self.interocular or ())]
        used += sum((*self.pairs, *self.limbs), ())
        for name in used:
            if name not in self.keypoints:
                raise ValueError(f"{name!r} is not among the keypoints")
        paired = sum(self.pairs, ())
        for name in paired:
            if paired.count(name) > 1:
                raise ValueError(f"{name!r} is paired twice")
        return self

    @property
    def of_people(self) -> bool:
        """Whether the points are those of people, going by their names: there are wrists or ankles,
        and no tail."""
        names = set(self.keypoints)
        has_limbs = names & {"left_wrist", "right_wrist", "left_ankle", "right_ankle"}
        return bool(has_limbs) and not any("tail" in name for name in names)

    def __len__(self) -> int:
        return len(self.keypoints)

    def index(self, name: str) -> int:
        """Position of a keypoint by name."""
        return self.keypoints.index(name)

    @property
    def mirrors(self) -> bool:
        """Whether it is known what the points are in a mirrored picture: without, nothing is
        mirrored in training, and there is no flip test."""
        return bool(self.pairs) or self.on_axis

    @property
    def mirroring(self) -> str:
        """What training and the flip test make of mirrored pictures, in words."""
        if self.pairs:
            pairs = ", ".join(f"{left}/{right}" for left, right in self.pairs)
            return f"pictures are mirrored, and these points change places: {pairs}"
        if self.on_axis:
            return "pictures are mirrored, and points keep their names"
        return (
            f"pictures are not mirrored, and there is no flip test: skeleton {self.name} has no "
            "left and right; give it pairs in a TOML file, or on_axis = true if its points keep "
            "their names in a mirror"
        )

    @cached_property
    def flip_order(self) -> NDArray[np.int64]:
        """(K,) for each keypoint the one that takes its place when the picture is mirrored."""
        order = np.arange(len(self))
        for left, right in self.pairs:
            i, j = self.index(left), self.index(right)
            order[i], order[j] = j, i
        return order

    @cached_property
    def limb_indices(self) -> list[tuple[int, int]]:
        """`limbs` as positions."""
        return [(self.index(a), self.index(b)) for a, b in self.limbs]

    @cached_property
    def keypoint_colours(self) -> list[Colour]:
        """RGB of each keypoint, by its side."""
        return [getattr(self.colours, self.side(name)) for name in self.keypoints]

    @cached_property
    def limb_colours(self) -> list[Colour]:
        """RGB of each limb, by the side that both ends are on; a middle one takes the other end's
        side."""
        sides = [{self.side(a), self.side(b)} - {"middle"} for a, b in self.limbs]
        return [getattr(self.colours, s.pop() if len(s) == 1 else "middle") for s in sides]

    def side(self, name: str) -> Literal["left", "right", "middle"]:
        """Which side of the body a keypoint is on, by its pair."""
        for left, right in self.pairs:
            if name == left:
                return "left"
            if name == right:
                return "right"
        return "middle"

    def to_dict(self) -> dict[str, Any]:
        """As it would stand in a skeleton file."""
        return self.model_dump(by_alias=True, mode="json", exclude_none=True)

    def to_category(self) -> dict[str, Any]:
        """As the category, with id 1, of a COCO file; the inverse of `skeleton_of_category`."""
        return {
            "id": 1,
            "name": "person",
            "supercategory": "person",
            "keypoints": list(self.keypoints),
            "skeleton": [[a + 1, b + 1] for a, b in self.limb_indices],
        }


def list_skeletons() -> list[str]:
    """Names of the skeletons in the package."""
    return sorted(f.name[:-5] for f in files(__package__).iterdir() if f.name.endswith(".toml"))


def find_skeleton(name: str) -> Skeleton:
    """A skeleton of the package by name, or a TOML file of one's own by path.

    Raises:
        ConfigError: there is none of that name, or the file is missing or not valid.
    """
    if name.endswith(".toml"):
        return validate(Skeleton, read_table(Path(name)), f"skeleton {name}")
    return load_skeleton(name)


def skeleton_of_names(
    name: str, keypoints: Sequence[str], limbs: Sequence[tuple[str, str]] = ()
) -> Skeleton:
    """A skeleton whose pairs are found by the keypoints' names, see
    `hrnet.skeletons.sides.pairs_by_name`.

    Raises:
        ConfigError: a keypoint is named twice, or a limb ends at none.
    """
    table = {
        "schema": 1,
        "name": name,
        "keypoints": list(keypoints),
        "limbs": [list(limb) for limb in limbs],
        "pairs": [list(pair) for pair in pairs_by_name(keypoints)],
    }
    return validate(Skeleton, table, f"skeleton {name}")


def named_twice(keypoints: Iterable[object]) -> str:
    """The first name that two keypoints have; "" if there is none."""
    seen: set[str] = set()
    for name in map(str, keypoints):
        if name in seen:
            return name
        seen.add(name)
    return ""


def skeleton_of_category(category: dict[str, Any]) -> Skeleton | None:
    """What a COCO category says of its keypoints: the package's skeleton with the same names in the
    same order, or one made of the category's own names, with the limbs of its `skeleton` (counted
    from 1). None where it has no names, or one twice.
    """
    names = category.get("keypoints")
    if not isinstance(names, list) or not names or named_twice(names):
        return None
    keypoints = tuple(str(name) for name in names)
    for known in list_skeletons():
        if load_skeleton(known).keypoints == keypoints:
            return load_skeleton(known)
    try:
        ends = [(int(a), int(b)) for a, b in category.get("skeleton") or ()]
    except (TypeError, ValueError):
        ends = []
    # Some files have the limbs of another data set's skeleton: then none is to be trusted.
    if not all(1 <= end <= len(keypoints) for limb in ends for end in limb):
        ends = []
    limbs = [(keypoints[a - 1], keypoints[b - 1]) for a, b in ends]
    return skeleton_of_names(str(category.get("name", "own")), keypoints, limbs)


@cache
def load_skeleton(name: str) -> Skeleton:
    """A skeleton of the package by name.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in list_skeletons():
        raise ConfigError(f"there is no skeleton {name!r}{nearest_names(name, list_skeletons())}")
    resource = files(__package__) / f"{name}.toml"
    return validate(Skeleton, read_table(resource), f"skeleton {name}")
