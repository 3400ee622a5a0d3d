"""What runs over pictures have in common, on this machine and on several."""

from collections.abc import Sequence
from pathlib import Path

AS_ONE = "Each {} was taken as one, as {} has no points of people; say where they are with --boxes."


def found_by(detector: str) -> str:
    """What to say of it."""
    return "each taken whole" if detector == "whole" else f"found by {detector}"


def unique(ids: Sequence[int | None]) -> Sequence[int | None]:
    """The ids, or numbers from 1 if not all pictures have one of their own."""
    return range(1, len(ids) + 1) if None in ids or len(set(ids)) < len(ids) else ids


def hash_of(file: Path | None) -> str | None:
    """Of what is in a file, if there is one."""
    from hrnet.files import sha256_of

    return None if file is None else sha256_of(file)
