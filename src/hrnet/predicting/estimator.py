"""PoseEstimator: pictures -> poses."""

import math
import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain, islice, takewhile
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hrnet.calibration import evidence
from hrnet.detection.boxes import check_boxes
from hrnet.detection.card import SecondLook
from hrnet.detection.detector import Detector, WholePicture
from hrnet.detection.find import AUTO, WHOLE, auto_detector, find_detector
from hrnet.errors import BoxError, ConfigError, HRNetError, ImageError
from hrnet.geometry import Float, crop_matrices, crop_regions, invert, transform_points, warp
from hrnet.images import Image, ImageSource, is_url
from hrnet.predicting.ahead import run_ahead
from hrnet.predicting.between import boxes_between
from hrnet.predicting.picture import FrameResult, Picture, PictureResult
from hrnet.result import Poses
from hrnet.runtime.execution import Execution
from hrnet.runtime.runner import load_runner
from hrnet.similarity import found_once, sigmas_of
from hrnet.video.reading import Frame, Frames, open_frames
from hrnet.video.smoothing import Smoother
from hrnet.video.tracking import Tracker

Boxes = ArrayLike | None
GIVEN = "given"  # the source of boxes that the caller has
WHOLE_PICTURE = WholePicture()
MAX_READERS = 8  # threads that read pictures
# Bytes of pictures read ahead and not yet cropped, and of arrays that wait for a batch: four large
# photographs, or a second of video.
MAX_HELD = 150_000_000
MAX_KEPT = 3_000_000  # bytes of a picture that is kept to draw on: a megapixel
MAX_WAITING = 4  # batches' worth of pictures, those without people, that wait for a batch to fill


class PoseEstimator:
    """Finds the joints of people in pictures.

        estimator = hrnet.PoseEstimator()
        poses = estimator("photo.jpg")
        poses.keypoints                     # (P, K, 2)

    Args:
        model: name of a model (`hrnet.list_models()`); a weights file that carries its card, or a
            published one under its published name; an ONNX file that `hrnet export` wrote, which
            runs without PyTorch; "hf:owner/name"; or None for the model in the package.
        weights: "default" for the model's own, fetched where need be; None for random ones; or a
            file, URL or "hf:owner/name" that fits the model.
        device: "auto", or PyTorch's name, such as "cpu" or "cuda:1".
        runtime: "torch", "onnxruntime", "openvino", or "auto": on a processor OpenVINO where it is
            installed, else PyTorch. The environment variable HRNET_RUNTIME says what "auto" is.
        precision: of the network's arithmetic, "fp32", "bf16", "fp16", or "auto": bf16 or fp16
            where the machine has units for it, else fp32; HRNET_PRECISION says what "auto" is.
        flip_test: average with the prediction for the mirrored picture: a little more accurate,
            half as fast.
        padding: factor on each box for what the network sees of it; None takes the model's own.
        detector: what finds the people in pictures without boxes: "auto", the detector in the
            package (or what the environment variable HRNET_DETECTOR names), and for other points
            than people's "whole"; "whole", each picture being one person; or another of
            `hrnet.detection.find.find_detector`, by name, file or URL.
        batch_size: crops that go through the network at once, in all calls of it together; None
            for what suits the device.
        max_people: a picture with more people than that is an error; None for any number.

    Raises:
        ConfigError: no such model, detector or device, or a padding, batch size or number of
            people that is not positive.
        WeightsError: the weights are missing, broken, or do not fit.
        DownloadError: the weights cannot be fetched.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        weights: str | Path | None = "default",
        device: str = "auto",
        runtime: str = "auto",
        precision: str = "auto",
        flip_test: bool = False,
        padding: float | None = None,
        detector: str | Path = AUTO,
        batch_size: int | None = None,
        max_people: int | None = None,
    ) -> None:
        for name, number in (("batch_size", batch_size), ("max_people", max_people)):
            if number is not None and number < 1:
                raise ConfigError(f"{name} is {number}; it must be at least 1")
        if padding is not None and not 0 < padding < float("inf"):
            raise ConfigError(f"padding is {padding}; it must be positive, such as 1.25")
        self._execution = Execution(device, runtime, precision)
        self.runner = load_runner(
            model, weights=weights, flip_test=flip_test, execution=self._execution
        )
        self.card = self.runner.card
        self.flip_test = self.runner.flip_test
        self.padding = self.card.padding if padding is None else padding
        self.batch_size = self.runner.session.batch_size if batch_size is None else batch_size
        self.max_people = max_people
        self._detector = detector
        if detector != AUTO:  # else it is loaded for the first picture without boxes
            self.detector  # noqa: B018

    def about(self) -> dict[str, Any]:
        """For results: the model's name, whether it does the flip test, what it runs in."""
        return {
            "name": self.card.name,
            "flip_test": self.flip_test,
            "runtime": self.runner.session.provider,
            "device": self.runner.session.device,
            "precision": self.runner.session.precision,
        }

    @cached_property
    def detector(self) -> Detector:
        """What finds the people in pictures without boxes."""
        name = self._detector
        detector = find_detector(
            auto_detector(self.card.skeleton) if name == AUTO else name, self._execution
        )
        if look := self.second_look(detector):
            detector.threshold = look.candidates
        return detector

    def second_look(self, detector: Detector) -> SecondLook | None:
        """A detector's, if this model's joints have probabilities."""
        return None if self.card.calibration is None else detector.second_look

    @overload
    def __call__(
        self,
        source: list[Any],
        boxes: Sequence[Boxes] | None = None,
        *,
        color: Literal["rgb", "bgr"] = "rgb",
    ) -> list[Poses]: ...
    @overload
    def __call__(
        self, source: ImageSource, boxes: Boxes = None, *, color: Literal["rgb", "bgr"] = "rgb"
    ) -> Poses: ...
    def __call__(self, source: Any, boxes: Any = None, *, color: Any = "rgb") -> Any:
        """The poses of the people in one picture, or in each of a list of pictures.

        Args:
            source: path, encoded bytes, PIL image, or array (H, W, 3) uint8; or a list of such.
            boxes: (P, 4) x1, y1, x2, y2 in pixels, the people's own edges without padding, or
                (P, 5) with a score from 0 to 1; or "whole", the picture being one person; for a
                list of pictures a list of those. Without boxes the detector finds them.
            color: order of an array's channels; "bgr" for what OpenCV reads.

        Raises:
            ImageError: a picture is missing or broken.
            BoxError: a box is empty, not finite, or outside the picture; or there are boxes for
                more or fewer pictures than given.
        """
        single = not isinstance(source, list)
        sources = [source] if single else source
        all_boxes = [boxes] if single else ([None] * len(sources) if boxes is None else boxes)
        if len(all_boxes) != len(sources):
            raise BoxError(
                f"there are {len(sources)} pictures and boxes for {len(all_boxes)}; give boxes "
                "or None for each"
            )
        pictures = (Picture(s, b, color=color) for s, b in zip(sources, all_boxes, strict=True))
        poses = []
        with closing(self.stream(pictures)) as results:
            for result in results:
                if result.error is not None:
                    raise result.error
                poses.append(result.poses)
        return poses[0] if single else poses

    def stream(
        self, pictures: Iterable[Picture], *, keep_pixels: bool = False
    ) -> Generator[PictureResult]:
        """The poses of any number of pictures, in order.

        Pictures are read and cropped ahead, on threads, and people of neighbouring pictures share
        batches, which are full but for the last. However many pictures there are, no more than a
        few batches of crops and a few pictures are held. Closing the iterator ends the threads.

        Args:
            pictures: what to look at.
            keep_pixels: keep small pictures' pixels with their results, to draw on.

        Yields:
            For each picture its result: what is wrong with one of many stands in its place.
        """
        return self._stream(pictures, keep_pixels, every=1)

    def _stream(
        self, pictures: Iterable[Picture], keep_pixels: bool, every: int
    ) -> Generator[PictureResult]:
        """`stream`; people are looked for in every so many pictures of one video."""
        threads = min(MAX_READERS, os.cpu_count() or 1)
        readers = ThreadPoolExecutor(threads, "hrnet-read")
        session = self.runner.session
        failures: list[Exception] = []  # of the caller's own iterable, one at most

        def asked() -> Iterator[Picture]:
            try:
                yield from pictures
            except Exception as error:
                failures.append(error)

        def read_one(picture: Picture) -> _Seen:
            return self._read(picture, keep_pixels)

        try:
            source = asked()
            first_two = list(islice(source, 2))
            read: Iterator[_Seen] = map(read_one, first_two)
            if len(first_two) == 2:  # a single picture does without threads
                read = run_ahead(
                    readers,
                    read_one,
                    chain(first_two, source),
                    most=max(self.batch_size, 2 * threads),
                    size=lambda seen: 0 if seen.image is None else seen.image.size,
                    most_size=MAX_HELD,
                )
            head = list(islice(read, 2))
            waiting: deque[_Seen] = deque()
            # Calls at once share the batch, and so its memory.
            batch_size = math.ceil(self.batch_size / session.parallel)
            with session.workers() as workers:
                # A single picture, and a single batch, have all of the session's threads.
                searching = len(head) == 2 and any(map(_is_missing, head))
                seen = self._detect(
                    chain(head, read), keep_pixels, workers if searching else None, every
                )
                batches = self._batches(seen, waiting, batch_size)
                firsts = [next(batches)]
                if len(firsts[0]) == batch_size:
                    firsts.append(next(batches))
                batches = chain(firsts, batches)
                points: Iterable[NDArray[np.float32]] = map(self._run, batches)
                if firsts[-1] and len(firsts) == 2:
                    points = run_ahead(workers, self._run, batches, most=1 + session.parallel)
                yield from self._place(points, waiting)
            if failures:  # after the results before it
                raise failures[0]
        finally:
            readers.shutdown(cancel_futures=True)

    def stream_video(
        self,
        video: str | Path | Frames,
        *,
        start: float = 0.0,
        end: float = math.inf,
        every: int = 1,
        smooth: bool = True,
    ) -> Generator[FrameResult]:
        """The poses in the frames of a video, in order, with the same track id for the same person.

        Args:
            video: a file, what FFmpeg opens (a URL, a stream), "webcam", or
                `hrnet.video.reading.open_frames` of a folder of frames.
            start, end: seconds; frames before and after are passed over.
            every: look for people in every so many frames only; in between their boxes move along
                straight lines, see `hrnet.predicting.between`. Poses are of every frame.
            smooth: let joints shake less, see `hrnet.video.smoothing`.

        Yields:
            For each frame that can be read its result. Closing the iterator closes the video.

        Raises:
            ConfigError: PyAV is not installed, or `every` is less than 1.
            ImageError: there is no such video, or no frame of it can be read, or is meant.
        """
        if every < 1:
            raise ConfigError(f"every is {every}; it must be at least 1")
        reader = video if isinstance(video, Frames) else open_frames(video)
        tracker, smoother = Tracker(), Smoother()
        any_frame = False
        with reader:
            wanted = takewhile(lambda frame: frame.time <= end, reader)
            pictures = (Picture(f.image, key=f) for f in wanted if f.time >= start)
            with closing(self._stream(pictures, False, every)) as results:
                for result in results:
                    if result.error is not None:
                        raise result.error
                    frame: Frame = result.picture.key
                    assert result.poses is not None
                    poses = tracker(result.poses, frame.time, frame.image)
                    if smooth:
                        poses = smoother(poses, frame.time)
                    any_frame = True
                    yield FrameResult(frame.number, frame.time, frame.image, poses)
        if not any_frame:
            raise ImageError(f"{reader.source} has no frame from {start:g} to {end:g} seconds")

    def _read(self, picture: Picture, keep_pixels: bool) -> "_Seen":
        """The picture, and the crops of the people in it where the caller knows them."""
        try:
            image, orientation = picture.read()
            seen = _Seen(picture, (image.shape[1], image.shape[0]), orientation, image)
            if isinstance(picture.boxes, str) and picture.boxes == WHOLE:
                (found,) = WHOLE_PICTURE([image])
                self._crop(seen, found[:, :4], found[:, 4], WHOLE_PICTURE, keep_pixels)
            elif picture.boxes is not None:
                self._crop(seen, *check_boxes(picture.boxes, *seen.size), None, keep_pixels)
            return seen
        except HRNetError as error:
            return _Seen(picture, error=error)

    def _detect(
        self, read: Iterable["_Seen"], keep_pixels: bool, workers: Executor | None, every: int
    ) -> Iterator["_Seen"]:
        """The same with everybody's crops. People are found by several workers, where there are
        any, and in the last of `every` pictures; without boxes are the others then as well."""

        def found(group: list[_Seen]) -> tuple[list[_Seen], list[_Seen], list[Float]]:
            missing = [seen for seen in group if _is_missing(seen)]
            images = [seen.image for seen in missing if seen.image is not None]
            looked_at = images[-1:] if every > 1 else images
            return group, missing, self.detector(looked_at) if looked_at else []

        groups = self._groups(read, every)
        results: Iterable[tuple[list[_Seen], list[_Seen], list[Float]]] = map(found, groups)
        if workers is not None:
            ahead = 1 + self.runner.session.parallel if every == 1 else 1
            results = run_ahead(workers, found, groups, most=ahead)
        before: Float | None = None
        for group, missing, boxes in results:
            if every > 1 and boxes:
                before, boxes = boxes[-1], boxes_between(before, boxes[-1], len(missing))
            for seen, own in zip(missing, boxes, strict=True):
                try:
                    self._crop(seen, own[:, :4], own[:, 4], self.detector, keep_pixels)
                except BoxError as error:  # too many
                    seen.error = error
            yield from group

    def _groups(self, read: Iterable["_Seen"], every: int) -> Iterator[list["_Seen"]]:
        """As many pictures as people are to be looked for at once, and those with boxes before; the
        first one of a video alone."""
        group: list[_Seen] = []
        missing = held = 0
        is_first = True
        for seen in read:
            group.append(seen)
            missing += _is_missing(seen)
            # (It is loaded here, for the first picture that needs it, with all threads.)
            most = self.detector.batch_size if missing else 0
            if every > 1:
                most = 1 if is_first else every
            held += 0 if seen.image is None else seen.image.size
            if missing >= most or not missing or held >= MAX_HELD:
                yield group
                group, missing, held, is_first = [], 0, 0, False
        if group:
            yield group

    def _crop(
        self,
        seen: "_Seen",
        boxes: Float,
        scores: Float,
        detector: Detector | None,
        keep: bool,
    ) -> None:
        """Cut out the people, whom the detector found, or else the caller; the picture itself is
        let go, unless it is to be kept and small, or would have to be downloaded again."""
        if self.max_people is not None and len(boxes) > self.max_people:
            raise BoxError(
                f"there are {len(boxes)} boxes of people in the picture, more than "
                f"{self.max_people}; give it in parts"
            )
        source = GIVEN if detector is None else detector.name
        padding = self.padding
        if detector is not None and detector.padding is not None:
            padding = detector.padding
        size = self.card.input_size
        regions = crop_regions(boxes, size, padding)
        seen.boxes, seen.scores, seen.source, seen.detector = boxes, scores, source, detector
        seen.matrices = crop_matrices(*regions, size, unbiased=self.card.unbiased)
        assert seen.image is not None
        seen.crops = [warp(seen.image, matrix, size) for matrix in seen.matrices]
        if not keep or (seen.image.size > MAX_KEPT and not is_url(seen.picture.source)):
            seen.image = None

    def _batches(
        self, cropped: Iterable["_Seen"], waiting: deque["_Seen"], batch_size: int
    ) -> Iterator[list[Image]]:
        """Full batches of crops, whichever pictures they are from; all of these go to `waiting`."""
        crops: list[Image] = []
        held = 0
        for seen in cropped:
            waiting.append(seen)
            crops += seen.crops
            seen.crops = []
            if isinstance(seen.picture.source, np.ndarray):
                held += seen.picture.source.nbytes
            while len(crops) >= batch_size:
                yield crops[:batch_size]
                crops = crops[batch_size:]
                held = 0
            # Pictures without people wait as well, and may be arrays: any number must not.
            if len(waiting) >= MAX_WAITING * self.batch_size or held > MAX_HELD:
                yield crops
                crops = []
                held = 0
        yield crops

    def _run(self, crops: list[Image]) -> NDArray[np.float32]:
        if not crops:
            return np.empty((0, len(self.card.skeleton), 4), np.float32)
        return self.runner(np.stack(crops))

    def _place(
        self, found: Iterable[NDArray[np.float32]], waiting: deque["_Seen"]
    ) -> Iterator[PictureResult]:
        """Points of batch after batch, back into the pictures that they are from."""
        points = np.empty((0, len(self.card.skeleton), 4), np.float32)
        for of_batch in found:
            points = np.concatenate([points, of_batch])
            while waiting and len(waiting[0].boxes) <= len(points):
                seen = waiting.popleft()
                own, points = points[: len(seen.boxes)], points[len(seen.boxes) :]
                yield self._result(seen, own)

    def _result(self, seen: "_Seen", points: NDArray[np.float32]) -> PictureResult:
        if seen.error is not None:
            return PictureResult(seen.picture, error=seen.error)
        keypoints = transform_points(invert(seen.matrices), points[..., :2])
        width, height = self.card.input_size
        # Of the crop's area; what the matrix takes a pixel to is its determinant's part of it.
        box_areas = np.prod(seen.boxes[:, 2:] - seen.boxes[:, :2], axis=1)
        shares = box_areas * np.abs(np.linalg.det(seen.matrices[..., :2])) / (width * height)
        known = evidence(points, shares)
        calibration = self.card.calibration
        poses = Poses(
            keypoints=keypoints.astype(np.float32),
            scores=points[..., 2],
            boxes=seen.boxes.astype(np.float32),
            box_scores=seen.scores.astype(np.float32),
            skeleton=self.card.skeleton,
            box_source=seen.source or "",
            probability=None
            if calibration is None
            else calibration.probability(known).astype(np.float32),
        )
        kept: Any = slice(None)
        if seen.detector is not None:
            look = self.second_look(seen.detector)
            kept = np.arange(len(poses))
            if look is not None and poses.probability is not None:
                sure = look.probability(
                    poses.box_scores, poses.probability, seen.boxes, max(seen.size)
                )
                poses = replace(poses, box_scores=sure.astype(np.float32))
                kept = np.flatnonzero(poses.box_scores > look.threshold)
            kept = kept[different_people(poses[kept])]
        return PictureResult(
            seen.picture,
            poses[kept],
            size=seen.size,
            orientation=seen.orientation,
            matrices=seen.matrices[kept],
            evidence=known[kept],
            crop_size=self.card.input_size,
            kept=seen.image,
        )


def different_people(poses: Poses) -> NDArray[np.int64]:
    """Positions of a picture's people, best first, see `found_once`."""
    return found_once(
        poses.keypoints,
        poses.pose_scores,
        poses.boxes,
        sigmas_of(poses.skeleton),
        poses.probability,
    )


@dataclass
class _Seen:
    """A picture on its way: read, then cropped (from when `source` says whose boxes they are)."""

    picture: Picture
    size: tuple[int, int] = (0, 0)
    orientation: int = 1
    image: Image | None = None
    error: HRNetError | None = None
    source: str | None = None
    detector: Detector | None = None
    boxes: Float = field(default_factory=lambda: np.empty((0, 4)))
    scores: Float = field(default_factory=lambda: np.empty(0))
    matrices: Float = field(default_factory=lambda: np.empty((0, 2, 3)))
    crops: list[Image] = field(default_factory=list)


def _is_missing(seen: _Seen) -> bool:
    """Whether it is not known yet where the people are."""
    return seen.source is None and seen.error is None
