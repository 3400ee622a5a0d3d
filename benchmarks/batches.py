"""What it costs that the number of people changes from picture to picture.

    python benchmarks/batches.py [--model NAME] [--pictures 100] [--rounds 3]

Pictures with 1 to 20 people each, in an order of chance, against as many people in pictures of
eight each, by every runtime in its own choice of precision, from a JPEG and boxes to joints, one
picture at a time. "at first" is a fresh process's first time through the former, whose numbers it
has not seen: what compiling for a number of people would cost is in there. Then medians of rounds
in turn, and quartiles of their ratio.
"""

import argparse
import statistics
from collections.abc import Sequence

import numpy as np
from runtimes import in_words, picture, seconds

import hrnet
from hrnet.runtime.execution import RUNTIMES

AT_MOST = 20


def main() -> None:
    """Print a line for each runtime."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--model", default=None)
    parser.add_argument("--pictures", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    changing = rng.integers(1, AT_MOST + 1, options.pictures).tolist()
    people = sum(changing)
    constant = [8] * (people // 8)
    jpeg, boxes = picture(AT_MOST)
    print(f"{options.pictures} pictures of 1 to {AT_MOST} people, {people} in all; ms a person")
    for runtime in RUNTIMES:
        estimator = hrnet.PoseEstimator(
            options.model, device="cpu", runtime=runtime, detector="whole"
        )

        def per_person(numbers: Sequence[int], estimator: hrnet.PoseEstimator = estimator) -> float:
            def run() -> None:
                for number in numbers:
                    estimator(jpeg, boxes[:number])

            return 1000 * seconds(run) / sum(numbers)

        per_person(constant[:3])  # a process's first pictures are slow whatever their people
        first = per_person(changing)
        rounds = [(per_person(changing), per_person(constant)) for _ in range(options.rounds)]
        ratios = [one / other for one, other in rounds]
        print(
            f"  {estimator.runner.runs:<32} at first {first:5.1f}, then "
            f"{statistics.median(one for one, _ in rounds):5.1f}; eight each "
            f"{statistics.median(other for _, other in rounds):5.1f}; ratio {in_words(ratios, 2)}"
        )


if __name__ == "__main__":
    main()
