"""Fit what decides with a detector's scores who is somebody, and write it into the detector's card.

    python scripts/fit_second_look.py DATA DETECTOR.safetensors [--others FILE.onnx]

DATA is the detector's recipe's `data.root`; `SecondLook` is fitted on the pictures that the recipe
sets aside, with the packaged pose model. What it then finds there is printed, for pictures that it
was not fitted on (five parts, each by a fit to the other four). The threshold is the
middle of those of the best F1.
"""

import argparse
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

import hrnet
from hrnet.data.boxed_pictures import add_others, read_boxed_pictures
from hrnet.detection.card import SecondLook, read_detector_card, signs_of_somebody
from hrnet.detection.find import find_detector
from hrnet.evaluation.detecting import lies_on, matched
from hrnet.files import atomic_write
from hrnet.images import read_image
from hrnet.predicting.estimator import different_people
from hrnet.runtime.execution import Execution
from hrnet.training.detection import UNSURE
from hrnet.training.recipe import DetectorRecipe, load_stages
from hrnet.training.sources import are_among, held_out_pictures
from hrnet.zoo.card import DETECTOR_KEY

RECIPE = "hrnet_w32_small_person"
CANDIDATES = 0.1  # the detector's score from where a box is looked at again
PARTS = 5
FLAT = 0.002  # F1s so near are the same, but for chance
LARGE = 0.15  # of the picture's longer side; 96 pixels of 640
Float = NDArray[np.float64]


@dataclass
class Looked:
    """A picture: its people, regions that count neither way, boxes, what is known of these, which
    are somebody's, which are either that or not, and the poses in them."""

    people: Float
    ignored: Float
    boxes: Float
    signs: Float
    right: NDArray[np.bool_]
    counts: NDArray[np.bool_]
    longer: int
    poses: hrnet.Poses


def look(data: Path, detector: Path, others: str) -> list[Looked]:
    """The pictures set aside."""
    recipe = load_stages(RECIPE, [f"data.root={data}"])[-1]
    assert isinstance(recipe, DetectorRecipe)
    held_out = held_out_pictures(recipe.data)
    finder = find_detector(str(detector), Execution(precision="fp32"))
    finder.threshold = CANDIDATES
    estimator = hrnet.PoseEstimator(detector="whole", precision="fp32")
    other_finder = find_detector(others, Execution(precision="fp32"))
    other_finder.threshold = UNSURE
    looked = []
    for source in recipe.data.sources:
        images = None if source.images is None else data / source.images
        pictures = read_boxed_pictures(data / source.file, images)
        pictures = pictures.select(are_among(pictures.files, held_out))
        read = [read_image(file) for file in pictures.files]
        if source.others is not None:
            pictures, _ = add_others(pictures, [other_finder([i])[0] for i in read], sure=math.inf)
        for image, people, ignored in zip(read, pictures.boxes, pictures.ignored, strict=True):
            boxes = finder([image])[0]
            longer = max(image.shape[:2])
            poses = estimator(image, boxes=boxes[:, :4])
            assert poses.probability is not None
            signs = signs_of_somebody(boxes[:, 4], poses.probability, boxes, longer)
            right = matched(people, boxes)[1]
            counts = right | ~lies_on(boxes, ignored)
            looked.append(Looked(people, ignored, boxes, signs, right, counts, longer, poses))
        print(f"{source.file}: {len(pictures)} pictures set aside")
    return looked


def fit(looked: list[Looked]) -> Float:
    """Weights of the signs: logistic regression by Newton's method."""
    x = np.concatenate([picture.signs[picture.counts] for picture in looked])
    y = np.concatenate([picture.right[picture.counts] for picture in looked])
    weights = np.zeros(x.shape[1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-x @ weights))
        step = np.linalg.solve((x * (p * (1 - p))[:, None]).T @ x, x.T @ (y - p))
        weights += step
        if np.abs(step).max() < 1e-9:
            break
    return weights


def found(looked: list[Looked], sure: list[Float], threshold: float) -> tuple[int, ...]:
    """People found and people, large ones found and large ones, false boxes; whoever is found twice
    is one, as in use."""
    total = np.zeros(5, int)
    for picture, own in zip(looked, sure, strict=True):
        accepted = np.flatnonzero(own > threshold)
        poses = replace(picture.poses, box_scores=own.astype(np.float32))[accepted]
        boxes = picture.boxes[accepted[different_people(poses)]]
        hit, right = matched(picture.people, boxes)
        large = picture.people[:, 3] - picture.people[:, 1] > LARGE * picture.longer
        false = ~right & ~lies_on(boxes, picture.ignored)
        total += [hit.sum(), len(hit), (hit & large).sum(), large.sum(), false.sum()]
    return tuple(total.tolist())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("detector", type=Path)
    parser.add_argument("--others", default="yolox_nano", help="what finds unlabelled people")
    options = parser.parse_args()
    looked = look(options.data, options.detector, options.others)

    def probability(weights: Float, picture: Looked) -> Float:
        return np.asarray(1 / (1 + np.exp(-picture.signs @ weights)))

    part = np.arange(len(looked)) % PARTS
    by_part = [fit([p for p, n in zip(looked, part, strict=True) if n != i]) for i in range(PARTS)]
    sure = [probability(by_part[n], picture) for picture, n in zip(looked, part, strict=True)]
    f1_of: dict[float, float] = {}
    for threshold in np.arange(0.2, 0.71, 0.02):
        hits, people, large_hits, large, false = found(looked, sure, threshold)
        f1 = 2 * hits / (hits + false + people)
        print(
            f"{threshold:.2f}: {100 * hits / people:.1f} % of all, "
            f"{100 * large_hits / large:.1f} % of the large, {false / len(looked):.2f} false boxes "
            f"a picture, F1 {f1:.3f}"
        )
        f1_of[float(threshold)] = f1
    best = [t for t, f1 in f1_of.items() if f1 >= max(f1_of.values()) - FLAT]
    box, joints, height, constant = fit(looked).round(3).tolist()
    second_look = SecondLook(
        candidates=CANDIDATES,
        threshold=round(sum(best) / len(best), 2),
        box=box,
        joints=joints,
        height=height,
        constant=constant,
    )
    print(second_look)
    card = read_detector_card(options.detector)
    assert card is not None
    card = card.model_copy(update={"second_look": second_look})
    tensors = load_file(options.detector)
    with atomic_write(options.detector) as temporary:
        save_file(tensors, temporary, metadata={DETECTOR_KEY: card.to_json()})


if __name__ == "__main__":
    main()
