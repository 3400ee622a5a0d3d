"""Batches of rows in, rows with poses out: what data pipelines such as Ray Data map over."""

from typing import Any

from hrnet.predicting.estimator import PoseEstimator
from hrnet.predicting.picture import Picture


class PoseRows:
    """A callable for pipelines: `dataset.map_batches(PoseRows, fn_constructor_kwargs={...})`.

    It is made once a worker, from plain values, and loads the model there.

    Args:
        column: of the pictures: paths, URLs, encoded bytes, or arrays (H, W, 3) uint8 RGB.
        boxes: column of people's boxes, see `Picture`; None where the detector is to find them.
        arguments: of `PoseEstimator`.
    """

    def __init__(
        self, column: str = "image", *, boxes: str | None = None, **arguments: Any
    ) -> None:
        self.column = column
        self.boxes = boxes
        self.estimator = PoseEstimator(**arguments)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """A batch of N rows, by column, with two columns more: `poses`, a dictionary a row as
        `Poses.to_dict` gives it (None for a picture that cannot be used), and `error`, a sentence a
        row on why that is ("" where nothing is wrong)."""
        boxes = batch[self.boxes] if self.boxes is not None else [None] * len(batch[self.column])
        pictures = map(Picture, batch[self.column], boxes)
        results = list(self.estimator.stream(pictures))
        return {
            **batch,
            "poses": [None if r.poses is None else r.poses.to_dict() for r in results],
            "error": ["" if r.error is None else str(r.error) for r in results],
        }
