"""How many pictures a second `hrnet predict` does, from files and boxes to annotated copies and
JSON, beside an earlier commit of this repository; whether batches are full, and how much memory
it takes of few pictures and of many.

    python benchmarks/predict.py DATA [--before COMMIT] [--pictures 500] [--rounds 3]
    python benchmarks/predict.py DATA --memory 500 10000

DATA is a folder with `train.json` in COCO's format and `images/`. Both sides run the whole command
in a process of its own, in turns; the commit's sources are checked out beside, by `git worktree`.
More pictures than DISTINCT are the same ones again under other names (links), so that figures of
few and of many are of the same pictures.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
DISTINCT = 500
BEFORE = "4ced175"  # the last before reading, drawing and writing went to threads

COMMAND = "import sys; from hrnet.cli import main; sys.argv[0] = 'hrnet'; main()"
# The same, and on standard error how many crops each call of the network got, and the peak memory.
WATCHED = """
import resource, sys
from hrnet.cli import main
from hrnet.runtime.runner import PoseRunner
sizes, run = [], PoseRunner.__call__
PoseRunner.__call__ = lambda self, crops: sizes.append(len(crops)) or run(self, crops)
sys.argv[0] = "hrnet"
try:
    main()
finally:
    print("sizes", *sizes, file=sys.stderr)
    print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
"""


def prepare(data: Path, folder: Path, count: int) -> list[str]:
    """Links to so many pictures and a boxes file of their labelled people; the arguments."""
    content = json.loads((data / "train.json").read_text())
    boxes: dict[str, list[list[float]]] = {}
    people: dict[int, list[list[float]]] = {}
    for person in content["annotations"]:
        x, y, width, height = person["bbox"]
        people.setdefault(person["image_id"], []).append([x, y, x + width, y + height])
    pictures = [image for image in content["images"] if image["id"] in people][:DISTINCT]
    (folder / "in").mkdir()
    for number in range(count):
        image = pictures[number % len(pictures)]
        name = f"{number:06}{Path(image['file_name']).suffix}"
        (folder / "in" / name).symlink_to((data / "images" / image["file_name"]).resolve())
        boxes[name] = people[image["id"]]
    (folder / "boxes.json").write_text(json.dumps(boxes))
    return ["predict", str(folder / "in"), "--boxes", str(folder / "boxes.json")]


def run(source: Path, arguments: list[str], program: str = COMMAND) -> tuple[float, str]:
    """Seconds that the command took with the package of a source tree, and its standard error."""
    with tempfile.TemporaryDirectory() as out:
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments, "--out", f"{out}/out"],
            env={**os.environ, "PYTHONPATH": str(source / "src")},
            capture_output=True,
            text=True,
            check=True,
        )
        return time.perf_counter() - start, done.stderr


def watched(arguments: list[str]) -> tuple[Counter[int], float]:
    """How often a batch of each size was run, and the peak memory in MB."""
    _, errors = run(ROOT, arguments, WATCHED)
    lines = dict(
        line.split(maxsplit=1) for line in errors.splitlines() if line[:4] in ("size", "peak")
    )
    return Counter(map(int, lines["sizes"].split())), int(lines["peak"]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--before", default=BEFORE)
    parser.add_argument("--pictures", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", type=int, nargs="+", metavar="PICTURES")
    given = parser.parse_args()
    if given.memory:
        for count in given.memory:
            with tempfile.TemporaryDirectory() as folder:
                sizes, peak = watched(prepare(given.data, Path(folder), count))
            print(f"{count} pictures: peak {peak:.0f} MB; batches {dict(sizes.most_common())}")
        return
    with tempfile.TemporaryDirectory() as folder:
        arguments = prepare(given.data, Path(folder), given.pictures)
        before = Path(folder) / "before"
        subprocess.run(
            ["git", "-C", ROOT, "worktree", "add", "--quiet", "--detach", before, given.before],
            check=True,
        )
        try:
            ratios = []
            for number in range(given.rounds):
                then, now = (run(source, arguments)[0] for source in (before, ROOT))
                ratios.append(then / now)
                rates = [given.pictures / seconds for seconds in (then, now)]
                print(
                    f"round {number + 1}: {given.before} {rates[0]:.1f} pictures a second, now "
                    f"{rates[1]:.1f}: {ratios[-1]:.2f} times",
                    flush=True,
                )
            low, high = min(ratios), max(ratios)
            print(f"median {statistics.median(ratios):.2f} [{low:.2f}, {high:.2f}]")
        finally:
            subprocess.run(["git", "-C", ROOT, "worktree", "remove", "--force", before], check=True)
        sizes, _ = watched(arguments)
        print(f"batches of people: {dict(sizes.most_common())}")


if __name__ == "__main__":
    main()
