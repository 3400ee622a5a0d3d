"""A model's AP on COCO val2017, measured here, beside the published one.

    python scripts/reproduce_coco.py MODEL COCO [--detections FILE] [--weights FILE]

MODEL is a name of `hrnet models list` or a weights file that carries its card. COCO is a folder
with annotations/person_keypoints_val2017.json and val2017/, or an annotation file with its pictures
in images/ or beside it.

Published figures are mostly with the boxes of a detector of 56.4 AP for people
(COCO_val2017_detections_AP_H_56_person.json, which the official repository links to) and the flip
test: give that file as --detections. Without it, boxes are the true ones, and the figure is higher
than that of detected boxes. The protocol is the official one: a pose scores its box's score times
the mean of the joint scores over 0.2, and of poses alike by OKS over 0.9 the best stays.
"""

import argparse
import sys
from pathlib import Path

from hrnet import HRNetError, PoseEstimator
from hrnet.evaluation.evaluate import evaluate
from hrnet.evaluation.oks import STATS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("coco", type=Path)
    parser.add_argument("--detections", type=Path)
    parser.add_argument("--weights", default="default", help="a file, or 'random' to try this out")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--no-flip-test", action="store_true")
    options = parser.parse_args()

    estimator = PoseEstimator(
        options.model,
        weights=None if options.weights == "random" else options.weights,
        device=options.device,
        runtime="torch",
        precision="fp32",
        flip_test=not options.no_flip_test,
    )
    file, images = options.coco, None
    if options.coco.is_dir():
        file = options.coco / "annotations" / "person_keypoints_val2017.json"
        images = options.coco / "val2017"
    evaluation = evaluate(estimator, file, images=images, boxes=options.detections or "gt")

    source = f"boxes of {options.detections.name}" if options.detections else "true boxes"
    print(f"{estimator.card.name}: {len(evaluation.predictions)} poses, {source}")
    print(f"flip test {'on' if estimator.flip_test else 'off'}")
    for name in STATS:
        print(f"  {name:<6} {evaluation.figures[name]:.3f}")
    print("published:" if estimator.card.figures else "published: nothing")
    for figure in estimator.card.figures:
        test = "with" if figure.flip_test else "without"
        print(
            f"  {figure.metric:<6} {figure.value:.3f}   {figure.data}, boxes: {figure.boxes}, "
            f"{test} flip test"
        )


if __name__ == "__main__":
    try:
        main()
    except HRNetError as error:
        sys.exit(f"{error}")
