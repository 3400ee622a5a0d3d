"""COCO detections: how a detector's boxes come in a file."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hrnet.detection.boxes import SMALLEST, checked_score

PERSON = 1  # COCO's category

Box = list[float]  # x1, y1, x2, y2, score


@dataclass(frozen=True)
class Detections:
    """Boxes by picture, in the rows' order.

    Attributes:
        by_id: for rows that name their picture by `image_id`.
        by_name: for rows that have a `file_name`.
        passed_over: how many rows do not count, by reason.
    """

    by_id: dict[int, list[Box]] = field(default_factory=dict)
    by_name: dict[str, list[Box]] = field(default_factory=dict)
    passed_over: Counter[str] = field(default_factory=Counter)


def read_detections(rows: Any, categories: Iterable[int] | None = None) -> Detections:
    """The boxes that count of rows {image_id or file_name, bbox: [x, y, width, height], score,
    category_id}.

    - A box reaches from (x, y) to (x + width, y + height), as the official code takes detections;
      only its annotations lose a pixel.
    - A score is from 0 to 1; up to 0.001 more is rounding and counts as 1. A missing one is 1.
    - Empty boxes are passed over.
    - Rows of other categories are passed over: than the data set's, where `categories` are known,
      else than people (1), where there are several. Without a `category_id` a row is a person's.

    Raises:
        ValueError, TypeError, KeyError and the like: the rows are not that; with the row's number
            where a value is wrong.
    """
    if not isinstance(rows, list):
        raise ValueError("it is no list of rows")
    wanted = {PERSON} if categories is None else set(categories)
    present = {row.get("category_id", PERSON) for row in rows}
    if categories is None and len(present) == 1:
        wanted = present
    if categories is None and rows and not present & wanted:
        raise ValueError(f"the categories are {sorted(present)}, none of them {PERSON}")
    found = Detections()
    for number, row in enumerate(rows):
        x, y, width, height = map(float, row["bbox"])
        score = checked_score(row.get("score", 1.0), f"row {number}")
        if row.get("category_id", min(wanted)) not in wanted:
            found.passed_over["of another category"] += 1
        elif width < SMALLEST or height < SMALLEST:
            found.passed_over["empty"] += 1
        elif "file_name" in row:
            box = [x, y, x + width, y + height, score]
            found.by_name.setdefault(str(row["file_name"]), []).append(box)
        else:
            box = [x, y, x + width, y + height, score]
            found.by_id.setdefault(int(row["image_id"]), []).append(box)
    return found


def passed_over_in_words(passed_over: Mapping[str, int]) -> str:
    """As in "3 empty and 2 of another category"."""
    return " and ".join(f"{count} {reason}" for reason, count in passed_over.items())
