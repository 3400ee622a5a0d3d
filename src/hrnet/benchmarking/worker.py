"""A process that times one model in one runtime and precision, whenever it is asked to.

`python -m hrnet.benchmarking.worker SETTINGS`, then a number of people a line of standard input,
and an answer in JSON a line of standard output. A process for each way shows its start and its
memory, and lets several take turns.
"""

import json
import sys
import time
from importlib.resources import files
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from hrnet.predicting.estimator import PoseEstimator

WIDTH, HEIGHT = 1280, 960  # pixels of the picture
SIZE = 1024  # of the matrices whose product is timed


def picture(people: int) -> tuple[bytes, NDArray[np.float64]]:
    """A JPEG of WIDTH x HEIGHT, and boxes (P, 4) in it."""
    content = (files("hrnet") / "samples" / "group.jpg").read_bytes()
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    _, jpeg = cv2.imencode(".jpg", cv2.resize(image, (WIDTH, HEIGHT)))
    low = np.random.default_rng(0).uniform(0, [WIDTH - 300, HEIGHT - 500], (people, 2))
    return jpeg.tobytes(), np.hstack([low, low + np.array([200.0, 400.0])])


def peak_memory() -> float:
    """MB that this process has had at most; NaN where nothing says so."""
    try:
        import resource
    except ModuleNotFoundError:  # on Windows
        return float("nan")
    amount = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return amount / (1024**2 if sys.platform == "darwin" else 1024)


def matrix_rate(precision: str) -> float:
    """Billions of multiplications and additions a second in a product of matrices by PyTorch."""
    import torch

    kind = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    one = torch.rand(SIZE, SIZE).to(kind)
    times = []
    for _ in range(10):
        begun = time.perf_counter()
        one @ one
        times.append(time.perf_counter() - begun)
    return 2 * SIZE**3 / min(times) / 1e9


def main() -> None:
    """Answer until standard input ends. The first answer comes by itself, after the first pose."""
    settings = json.loads(sys.argv[1])
    estimator = PoseEstimator(**settings, detector="whole")
    jpeg, boxes = picture(1)
    estimator(jpeg, boxes)
    session = estimator.runner.session
    ready: dict[str, Any] = {"device": session.device, "precision": session.precision}
    if session.provider == "torch" and session.device == "cpu":
        ready["matrix_rate"] = matrix_rate(session.precision)
    print(json.dumps(ready), flush=True)
    width, height = estimator.card.input_size
    for line in sys.stdin:
        people = int(line)
        jpeg, boxes = picture(people)
        crops = np.random.default_rng(0).integers(0, 256, (people, height, width, 3), np.uint8)
        begun = time.perf_counter()
        estimator(jpeg, boxes)
        whole = time.perf_counter() - begun
        begun = time.perf_counter()
        estimator.runner(crops)
        network = time.perf_counter() - begun
        print(json.dumps({"whole": whole, "network": network, "memory": peak_memory()}), flush=True)


if __name__ == "__main__":
    main()
