"""Make the part of the packaged detector's training data that comes from Open Images.

    python scripts/prepare_open_images.py SOURCE OUT [--detector FILE.onnx]

SOURCE is "Human Dataset v2", version 6, as Roboflow exports it for YOLO (CC BY 4.0,
https://universe.roboflow.com/human-v2/human-dataset-v2): of its pictures, which come from many
places, those are taken whose names are Open Images' (Kuznetsova et al., IJCV 2020). They were
stretched to squares there. Each is brought back to what it most likely was: the proportions, of
those that cameras have, with which YOLOX-nano finds the labelled people best. People whom it does
not find even so (statues, posters, groups in one box) are crowds in OUT/train.json, which count
neither way.
"""

import argparse
import re
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from hrnet.data.annotations import write_annotations
from hrnet.data.prepare.content import LabelledBoxes, boxes_content
from hrnet.detection.detector import Detector
from hrnet.detection.find import find_detector
from hrnet.geometry import intersections_over_unions
from hrnet.images import read_image, write_image
from hrnet.runtime.execution import Execution

OPEN_IMAGES = re.compile(r"([0-9a-f]{16})_jpg\.rf\.")
# Width to height, and how common that is among photographs.
PROPORTIONS = {3 / 2: 0.15, 4 / 3: 0.6, 1.0: 0.05, 3 / 4: 0.2, 2 / 3: 0.1}
COMMON = 0.1  # weight of that against the mean score of people found
SEEN, SAME = 0.1, 0.5  # a detector's score, and overlap, from where a label is somebody seen
Boxes = NDArray[np.float64]


def unstretched(
    picture: NDArray[np.uint8], people: Boxes, detector: Detector
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A square as it likely was, with as many pixels; and which people are found there."""
    best = -np.inf
    side = picture.shape[0]
    for proportion, share in PROPORTIONS.items():
        size = round(side * proportion**0.5), round(side / proportion**0.5)
        image = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR), np.uint8)
        found = detector([image])[0]
        likeness = intersections_over_unions(found, people * np.tile(size, 2))
        score = found[likeness.max(axis=1, initial=0) > SAME, 4].sum() / max(1, len(people))
        if (total := score + COMMON * np.log(share)) > best:
            best, chosen, seen = total, image, likeness.max(axis=0, initial=0) > SAME
    return chosen, seen


def read_people(file: Path) -> Boxes:
    """(P, 4) edges as shares of the picture's sides, of lines `class x y width height`."""
    rows = [line.split() for line in file.read_text().splitlines()]
    boxes = np.array([row[1:] for row in rows if len(row) == 5], np.float64).reshape(-1, 4)
    edges = np.hstack([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2])
    return np.asarray(edges.clip(0, 1))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--detector", default="yolox_nano")
    options = parser.parse_args()
    detector = find_detector(options.detector, Execution(precision="fp32"))
    detector.threshold = SEEN
    named = {
        match[1]: file
        for file in sorted(options.source.glob("*/images/*.jpg"))
        if (match := OPEN_IMAGES.match(file.name))
    }
    pictures = []
    for name, file in sorted(named.items()):
        people = read_people(file.parent.parent / "labels" / f"{file.stem}.txt")
        picture, seen = unstretched(read_image(file), people, detector)
        height, width = picture.shape[:2]
        boxes = people * [width, height, width, height]
        pictures.append(LabelledBoxes(f"{name}.jpg", (width, height), boxes, ~seen))
        write_image(options.out / "images" / f"{name}.jpg", picture)
    content = boxes_content(pictures, "Open Images: people")
    write_annotations({options.out / "train.json": content})
    crowds = sum(int(picture.crowds.sum()) for picture in pictures)
    seen_people = len(content["annotations"]) - crowds
    print(f"{len(pictures)} pictures, {seen_people} people, {crowds} crowds")


if __name__ == "__main__":
    main()
