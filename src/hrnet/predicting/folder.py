"""From any number of pictures to a folder of results."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from hrnet.detection.boxes_file import BoxesFile
from hrnet.errors import BoxError, HRNetError
from hrnet.images.sources import Source
from hrnet.predicting.ahead import run_ahead
from hrnet.predicting.estimator import PoseEstimator
from hrnet.predicting.outputs import Outputs
from hrnet.predicting.picture import Picture, PictureResult

MAX_WRITERS = 8  # threads


@dataclass(frozen=True)
class Done:
    """A picture that is done with.

    Attributes:
        source: which.
        answer: what its JSON file holds; None where an earlier run made it, or it failed.
        error: why it failed.
    """

    source: Source
    answer: dict[str, Any] | None = None
    error: HRNetError | None = None


def predict_folder(
    estimator: PoseEstimator,
    sources: Sequence[Source],
    outputs: Outputs,
    *,
    boxes: BoxesFile | None = None,
    annotations: Path | None = None,
) -> Iterator[Done]:
    """Predict, draw and write: first come those that an earlier run did or that have no boxes, then
    the others in their order. Reading, drawing and writing are on threads.

    Args:
        boxes: of the people in the pictures; without them a picture is the detector's.
        annotations: the file that gave the pictures their ids, for an error.
    """
    upright = boxes is None or boxes.upright

    def boxes_of(source: Source) -> ArrayLike | None:
        if outputs.image_id(source) is None:
            raise BoxError(f"{annotations} does not list it")
        return None if boxes is None else boxes.of(source.identity)

    todo: list[Source] = []
    for source in sources:
        if outputs.is_done(source):
            yield Done(source)
            continue
        try:
            boxes_of(source)
            todo.append(source)
        except HRNetError as error:
            yield Done(source, error=error)

    pictures = (Picture(s.content(), boxes_of(s), upright=upright, key=s) for s in todo)

    def write(result: PictureResult) -> Done:
        source: Source = result.picture.key
        if result.error is not None:
            return Done(source, error=result.error)
        answer = result.answer(
            file=source.file_name,
            path=str(source.place),
            model=estimator.about(),
        )
        outputs.write(source, result, answer)
        return Done(source, answer)

    threads = min(MAX_WRITERS, os.cpu_count() or 1)
    writers = ThreadPoolExecutor(threads, "hrnet-write")
    try:
        with closing(estimator.stream(pictures, keep_pixels=outputs.draw)) as results:
            for done in run_ahead(writers, write, results, most=2 * threads):
                if done.answer is not None:
                    outputs.record(done.source, done.answer)
                yield done
    finally:
        writers.shutdown(cancel_futures=True)
    outputs.finish()
