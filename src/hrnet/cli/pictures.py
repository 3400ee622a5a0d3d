"""What runs over pictures have in common, on this machine and on several."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hrnet.detection.boxes_file import BoxesFile
    from hrnet.images.sources import Source

AS_ONE = "Each {} was taken as one, as {} has no points of people; say where they are with --boxes."


def found_by(detector: str) -> str:
    """What to say of it."""
    return "each taken whole" if detector == "whole" else f"found by {detector}"


def ids_and_boxes(
    found: "Sequence[Source]", boxes: Path | None, annotations: Path | None
) -> "tuple[Sequence[int | None], BoxesFile | None]":
    """Each picture's id in COCO's results (None of one that the annotations do not list), and the
    boxes of the people."""
    from hrnet.detection.boxes_file import BoxesFile, category_ids, image_ids

    identities = [source.identity for source in found]
    ids = image_ids(identities, annotations)
    given = None
    if boxes is not None:
        categories = None if annotations is None else category_ids(annotations)
        given = BoxesFile(boxes, identities, ids, categories)
    return ids if annotations is not None else _unique(ids), given


def hash_of(file: Path | None) -> str | None:
    """Of what is in a file, if there is one."""
    from hrnet.files import sha256_of

    return None if file is None else sha256_of(file)


def _unique(ids: Sequence[int | None]) -> Sequence[int | None]:
    """The ids, or numbers from 1 if not all pictures have one of their own."""
    return range(1, len(ids) + 1) if None in ids or len(set(ids)) < len(ids) else ids
