"""How many frames of a video a second `hrnet predict` does, and whether its memory grows.

    python benchmarks/video.py DATA [--minutes 10] [--fps 15] [--every 1] [--keep FILE]

The video is made of stills of people (DATA/coco_more), each panned over for four seconds. Memory is
the process's resident set, once a second, from /proc (Linux).
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from hrnet.images import Image, read_image
from hrnet.video.writing import VideoWriter

WIDTH, HEIGHT, STILL = 640, 360, 4.0  # pixels, seconds
COMMAND = "import sys; from hrnet.cli import main; sys.argv[0] = 'hrnet'; main()"


def write_video(data: Path, file: Path, minutes: float, fps: float) -> int:
    """Frames written."""
    content = json.loads((data / "coco_more" / "train.json").read_text())
    names = [picture["file_name"] for picture in content["images"]]
    count, per_still = round(minutes * 60 * fps), round(STILL * fps)
    with VideoWriter(file, fps) as writer:
        still: Image | None = None
        for number in range(count):
            which, step = divmod(number, per_still)
            if step == 0:
                still = read_image(data / "coco_more" / "images" / names[which % len(names)])
                scale = 1.25 * max(WIDTH / still.shape[1], HEIGHT / still.shape[0])
                still = np.asarray(cv2.resize(still, None, fx=scale, fy=scale), np.uint8)
            assert still is not None
            free = np.array([still.shape[1] - WIDTH, still.shape[0] - HEIGHT])
            x, y = np.rint(free * step / per_still).astype(int)
            writer.write(still[y : y + HEIGHT, x : x + WIDTH], number / fps)
    return count


def resident(process: int) -> float:
    """MB."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--fps", type=float, default=15)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="where to leave the video, or find it")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        video = arguments.keep or Path(folder, "stills.mp4")
        if not video.exists():
            write_video(arguments.data, video, arguments.minutes, arguments.fps)
        out = Path(folder, "out")
        begun = time.perf_counter()
        process = subprocess.Popen(
            [
                *(sys.executable, "-c", COMMAND, "predict", str(video), "--out", str(out)),
                *("--every", str(arguments.every), "--save", "json,image"),
            ]
        )
        memory = []
        while process.poll() is None:
            try:
                memory.append(resident(process.pid))
            except (OSError, StopIteration):  # it has just ended
                break
            time.sleep(1)
        if process.wait():
            sys.exit("hrnet predict failed")
        seconds = time.perf_counter() - begun
        frames = sum(1 for _ in (out / f"{video.stem}.jsonl").open()) - 1
    print(f"{frames} frames in {seconds:.0f} s: {frames / seconds:.1f} frames a second")
    quarters = [statistics.mean(part) for part in np.array_split(np.array(memory), 4)]
    print("memory by quarters of the time:", ", ".join(f"{mb:.0f}" for mb in quarters), "MB")
    print(f"peak: {max(memory):.0f} MB")


if __name__ == "__main__":
    main()
