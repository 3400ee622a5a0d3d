"""The packaged model beside MoveNet Lightning (int8, TFLite), from a person's crop to the joints.

    pip install ai-edge-litert
    python benchmarks/movenet.py PATH/movenet_singlepose_lightning_int8_4.tflite [--rounds 15]

MoveNet (github.com/tensorflow/tfjs-models/tree/master/pose-detection; Kaggle's
google/movenet/tfLite/singlepose-lightning-tflite-int8) takes one crop of 192 x 192 at a time, in
LiteRT with XNNPACK and as many threads of up to all processors as make it fastest; ours as many
crops of its own input size as there are people, in every runtime and precision that is here, in
int8 too. In every round each has its turn, the shortest of six times; medians [quartiles] of
milliseconds a person, and of the ratios within the rounds. Crops are of chance: neither network's
time depends on what they show.
"""

import argparse
import os
import tempfile
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
from runtimes import EIGHT_BITS, eight_bits, in_words, seconds

import hrnet
from hrnet.benchmarking.measuring import WAYS
from hrnet.errors import ConfigError
from hrnet.zoo import find_model

THEIRS = "MoveNet Lightning, int8"


class MoveNet:
    """MoveNet in LiteRT.

    Args:
        file: its TFLite file.
        threads: that it computes with.
    """

    def __init__(self, file: Path, threads: int) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self.network = Interpreter(str(file), num_threads=threads)
        self.network.allocate_tensors()
        (given,), (gives,) = self.network.get_input_details(), self.network.get_output_details()
        self.places = given["index"], gives["index"]
        crop = np.random.default_rng(0).integers(0, 256, (1, 192, 192, 3), np.uint8)
        self.crop = crop.astype(given["dtype"])

    def __call__(self, people: int) -> None:
        """One after the other."""
        for _ in range(people):
            self.network.set_tensor(self.places[0], self.crop)
            self.network.invoke()
            assert self.network.get_tensor(self.places[1]).shape == (1, 1, 17, 3)


def fastest_movenet(file: Path) -> MoveNet:
    """With as many threads as make it so."""
    found = [MoveNet(file, threads) for threads in range(1, (os.cpu_count() or 1) + 1)]
    return min(found, key=lambda network: shortest(partial(network, 4)))


def shortest(run: Callable[[], object]) -> float:
    """Of several times, as what ran before leaves threads that spin for a while."""
    return min(seconds(run) for _ in range(6))


def print_turns(ways: dict[str, Callable[[], object]], people: int, rounds: int) -> None:
    """Milliseconds a person of each, and of the time that the first of them takes."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(-1, rounds):  # one to warm up
        for name, run in ways.items():
            taken = shortest(run)
            if number >= 0:
                times[name].append(taken)
    first = next(iter(times.values()))
    for name, own in times.items():
        ratios = [a / b for a, b in zip(own, first, strict=True)]
        per_person = in_words([1000 * t / people for t in own], 2)
        print(f"  {name:<48}{per_person:<24}{in_words(ratios, 2)}")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--people", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    theirs = fastest_movenet(options.file)
    card = find_model(None).card
    width, height = card.input_size
    runners = {}
    with tempfile.TemporaryDirectory() as folder:
        for runtime, precision in [*WAYS, EIGHT_BITS]:
            name = f"{card.name}, {runtime}, {precision}"
            model, settings = None, {"runtime": runtime, "precision": precision}
            if (runtime, precision) == EIGHT_BITS:
                weights = find_model(None).weights("default")
                model = eight_bits(card.input_size, weights, Path(folder, "int8.xml"))
                settings = {}
            try:
                estimator = hrnet.PoseEstimator(model, device="cpu", detector="whole", **settings)
            except ConfigError as error:
                print(f"{runtime}, {precision}: {error}")
                continue
            runners[name] = estimator.runner
        print(f"openvino {version('openvino')}, ai-edge-litert {version('ai-edge-litert')}")
        for people in options.people:
            crops = np.random.default_rng(0).integers(0, 256, (people, height, width, 3), np.uint8)
            ways = {THEIRS: partial(theirs, people)}
            ways |= {name: partial(runner, crops) for name, runner in runners.items()}
            print(f"\n{people} at once, ms a person; of MoveNet's time")
            print_turns(ways, people, options.rounds)


if __name__ == "__main__":
    main()
