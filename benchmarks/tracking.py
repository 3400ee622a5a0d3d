"""Do track ids hold where people cross, and do joints shake? On clips made of real people.

python benchmarks/tracking.py DATA [--clips 10] [--detector auto] [--every 1] [--pictures FOLDER]

DATA holds coco_more/ as `hrnet data` has it. In every clip two people are moved from one side to
the other past each other and past a third, who stands at a quarter of the way: three crossings one
after the other, in each of which one hides the other. A crossing is switched where either has
another id in the ten frames after it in which they are found than in those before, or none. Then
the same people stand still in a noisy picture: how much their joints shake, as the mean second
difference from frame to frame, without and with smoothing.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

import hrnet
from hrnet.geometry import intersections_over_unions, shared_areas
from hrnet.images import Image, read_image, write_image
from hrnet.predicting.picture import FrameResult
from hrnet.similarity import likest_pairs
from hrnet.video.reading import Frame, Frames

WIDTH, HEIGHT, RATE, SECONDS = 960, 540, 25.0, 6.0
TALL = 260  # pixels of a person
NOISE = 6.0  # standard deviation of every pixel


@dataclass(frozen=True)
class Person:
    """A cut-out, its softened mask, and the person's box in it."""

    image: Image
    mask: np.ndarray
    box: np.ndarray


class Clip(Frames):
    """Three people at `places` (frames, 3, 2), the centres of their boxes; the last is in front."""

    def __init__(self, people: list[Person], places: np.ndarray, background: Image, seed: int):
        self.source, self.rate, self.frames, self.broken = "clip", RATE, len(places), []
        self.people, self.places, self.background = people, places, background
        self.rng = np.random.default_rng(seed)

    def close(self) -> None:
        """Nothing is open."""

    def boxes(self, number: int) -> np.ndarray:
        """(3, 4) where the people are in a frame."""
        return np.array(
            [
                person.box + np.tile(self._corner(person, place), 2)
                for person, place in zip(self.people, self.places[number], strict=True)
            ]
        )

    def __iter__(self) -> Iterator[Frame]:
        """Frames as a camera would see them, with noise."""
        for number, places in enumerate(self.places):
            image = self.background.astype(np.float32)
            for person, place in zip(self.people, places, strict=True):
                x, y = self._corner(person, place).tolist()
                matrix = np.array([[1, 0, x], [0, 1, y]], np.float64)  # to parts of a pixel
                painted = cv2.warpAffine(person.image, matrix, (WIDTH, HEIGHT))
                mask = cv2.warpAffine(person.mask, matrix, (WIDTH, HEIGHT))[..., None]
                image = image * (1 - mask) + painted * mask
            image += self.rng.normal(0, NOISE, image.shape)
            yield Frame(number, number / RATE, image.clip(0, 255).astype(np.uint8))

    @staticmethod
    def _corner(person: Person, place: np.ndarray) -> np.ndarray:
        return place - (person.box[:2] + person.box[2:]) / 2


def find_people(data: Path, count: int, seed: int) -> list[Person]:
    """People who are whole, upright and alone in their box."""
    content = json.loads((data / "coco_more" / "train.json").read_text())
    names = {picture["id"]: picture["file_name"] for picture in content["images"]}
    boxes_of: dict[int, list[list[float]]] = {}
    for annotation in content["annotations"]:
        boxes_of.setdefault(annotation["image_id"], []).append(annotation["bbox"])
    chosen = []
    for annotation in content["annotations"]:
        _, _, width, height = annotation["bbox"]
        labelled = sum(v > 0 for v in annotation["keypoints"][2::3])
        alone = len(boxes_of[annotation["image_id"]]) == 1
        if labelled >= 16 and alone and height > 130 and 0.25 < width / height < 0.6:
            chosen.append(annotation)
    order = np.random.default_rng(seed).permutation(len(chosen))
    return [
        _cut_out(read_image(data / "coco_more" / "images" / names[a["image_id"]]), a["bbox"])
        for a in (chosen[i] for i in order[:count])
    ]


def _cut_out(picture: Image, bbox: list[float]) -> Person:
    x, y, width, height = bbox
    margin = 0.06 * height
    x1, y1 = (max(0, int(v - margin)) for v in (x, y))
    x2, y2 = int(x + width + margin), int(y + height + margin)
    part = picture[y1:y2, x1:x2]
    scale = TALL / height
    size = round(part.shape[1] * scale), round(part.shape[0] * scale)
    image = cv2.resize(part, size, interpolation=cv2.INTER_CUBIC)
    mask = np.zeros(image.shape[:2], np.float32)
    edge = round(margin * scale / 2)
    mask[edge:-edge, edge:-edge] = 1
    mask = cv2.GaussianBlur(mask, (0, 0), edge / 2)
    box = (np.array([x, y, x + width, y + height]) - np.array([x1, y1, x1, y1])) * scale
    return Person(image, mask, box)


def crossing(people: list[Person], seed: int) -> Clip:
    """Two walk past a third and each other."""
    rng = np.random.default_rng(seed)
    frames = round(RATE * SECONDS)
    share = np.linspace(0, 1, frames)
    low, high = 110, WIDTH - 110
    floor = 300 + rng.uniform(-20, 20, 3)
    bob = 3 * np.sin(2 * np.pi * 2 * np.arange(frames) / RATE)  # of walking
    stand = low + (high - low) * rng.choice([0.25, 0.75]) + rng.uniform(-20, 20)
    places = np.stack(
        [
            np.stack([low + (high - low) * share, floor[0] + bob], axis=1),
            np.stack([np.full(frames, stand), np.full(frames, floor[1])], axis=1),
            np.stack([high - (high - low) * share, floor[2] - bob], axis=1),
        ],
        axis=1,
    )
    order = rng.permutation(3)
    return Clip(people, places[:, order], _background(rng), seed)


def standing(people: list[Person], seed: int) -> Clip:
    """Three who do not move."""
    rng = np.random.default_rng(seed)
    places = np.array([[200.0, 290], [480, 300], [760, 280]])
    return Clip(people, np.tile(places, (round(RATE * 2), 1, 1)), _background(rng), seed)


def _background(rng: np.random.Generator) -> Image:
    coarse = rng.uniform(60, 200, (6, 10, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC), np.uint8)


def ids_of(clip: Clip, results: list[FrameResult]) -> np.ndarray:
    """(frames, 3) the track id that each person has, 0 where nobody is found there."""
    ids = np.zeros((len(clip.places), 3), np.int64)
    for result in results:
        true, found = clip.boxes(result.number), result.poses.boxes.astype(np.float64)
        for person, i in likest_pairs(intersections_over_unions(true, found), 0.5):
            ids[result.number, person] = result.poses.track_ids[i]
    return ids


def crossings(clip: Clip, ids: np.ndarray) -> list[bool]:
    """For each pair of people who met, whether an id was switched."""
    boxes = np.array([clip.boxes(n) for n in range(len(clip.places))])
    switched = []
    for one, other in ((0, 1), (0, 2), (1, 2)):
        shared = [shared_areas(b[one, None], b[other, None])[0, 0] > 0 for b in boxes]
        met = np.flatnonzero(shared)
        if len(met) == 0:
            continue
        before, after = ids[: met[0]], ids[met[-1] + 1 :]
        if len(before) < 3 or len(after) < 3:
            continue
        kept = [
            _usual(_found(before[:, person])[-10:]) == _usual(_found(after[:, person])[:10]) != 0
            for person in (one, other)
        ]
        switched.append(not all(kept))
    return switched


def _found(ids: np.ndarray) -> np.ndarray:
    return ids[ids > 0]


def _usual(ids: np.ndarray) -> int:
    values, counts = np.unique(ids, return_counts=True)
    return int(values[counts.argmax()]) if len(ids) else 0


def shaking(clip: Clip, results: list[FrameResult]) -> float:
    """Mean second difference in pixels of joints that are probable all the time."""
    ids = ids_of(clip, results)
    amounts = []
    for person in range(3):
        tracked = [
            (result.poses.keypoints[k], result.poses.probability[k])
            for result, own in zip(results, ids[:, person], strict=True)
            for k in np.flatnonzero(result.poses.track_ids == own)[:1]
        ]
        if len(tracked) < len(results):
            continue
        points = np.array([p for p, _ in tracked])
        probable = np.array([c for _, c in tracked]).min(axis=0) > 0.5
        second = np.linalg.norm(np.diff(points, n=2, axis=0), axis=2)[5:, probable]
        amounts.append(second.mean())
    return float(np.mean(amounts)) if amounts else float("nan")


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--clips", type=int, default=10)
    parser.add_argument("--detector", default="auto")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--pictures", type=Path, help="folder for some frames of every clip")
    arguments = parser.parse_args()
    estimator = hrnet.PoseEstimator(detector=arguments.detector)
    people = find_people(arguments.data, 3 * arguments.clips, seed=0)
    switched, found = [], []
    for number in range(arguments.clips):
        clip = crossing(people[3 * number : 3 * number + 3], number)
        results = list(estimator.stream_video(clip, every=arguments.every))
        ids = ids_of(clip, results)
        switched += crossings(clip, ids)
        found.append((ids > 0).mean())
        if arguments.pictures is not None:
            for result in results[:: round(RATE / 2)]:
                file = arguments.pictures / f"clip{number}_{result.number:03}.jpg"
                write_image(file, result.poses.draw(result.image))
    print(f"crossings: {len(switched)}, switched: {sum(switched)}")
    print(f"people found in a frame: {100 * np.mean(found):.1f} %")
    shakes = {}
    for smooth in (False, True):
        amounts = []
        for number in range(arguments.clips):
            clip = standing(people[3 * number : 3 * number + 3], number)
            results = list(estimator.stream_video(clip, every=arguments.every, smooth=smooth))
            amounts.append(shaking(clip, results))
        shakes[smooth] = np.nanmean(amounts)
    print(
        f"second difference of joints that stand still: {shakes[False]:.2f} pixels, smoothed "
        f"{shakes[True]:.2f}; people are {TALL} pixels tall"
    )


if __name__ == "__main__":
    main()
