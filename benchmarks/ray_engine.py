"""How many pictures a second `hrnet predict --engine ray` does on this machine beside the local
command, and what that makes of a thousand million pictures.

    python benchmarks/ray_engine.py PICTURES [--count 1000] [--rounds 5]

PICTURES is a folder of them; more than there are, are the same ones again under other names.
Both sides are whole commands in processes of their own, in turns. Counted is from when the model
is loaded to when the last picture is done, in seconds and in seconds of processors (of Ray those of
its actors and the command); what comes before and after is told apart. The local command writes
CSV, Ray a Parquet file a part and JSON lines.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from hrnet.benchmarking.measuring import quartiles
from hrnet.images.sources import SUFFIXES

MANY = 1_000_000_000
# Each prints seconds and processor seconds of the work itself, as JSON, on standard error.
LOCAL = """
import json, sys, time
from hrnet.cli import main
from hrnet.predicting import folder

def watched(*arguments, **named):
    begun, used = time.perf_counter(), time.process_time()
    yield from predict_folder(*arguments, **named)
    took = time.perf_counter() - begun, time.process_time() - used
    print(json.dumps(took), file=sys.stderr)

predict_folder, folder.predict_folder = folder.predict_folder, watched
sys.argv[0] = "hrnet"
main()
"""
RAY = """
import json, os, sys, time
from pathlib import Path
import hrnet.ray
from hrnet.cli import main
from hrnet.predicting.parts import Parts

used = {}

def look():
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cmdline").read_bytes().startswith(b"ray::PartWriter"):
                fields = (process / "stat").read_text().rsplit(")")[1].split()
                now = sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")
                used.setdefault(process.name, [now, now])[1] = now
        except OSError:
            pass

def started(self):
    global begun, own
    begun, own = time.perf_counter(), time.process_time()
    look()
    yield from todo(self)

def watched(*arguments, **named):
    for done in write_parts(*arguments, **named):
        took = time.perf_counter() - begun
        look()
        yield done
    actors = sum(last - first for first, last in used.values())
    print(json.dumps([took, actors + time.process_time() - own]), file=sys.stderr)

todo, Parts.todo = Parts.todo, started
write_parts, hrnet.ray.write_parts = hrnet.ray.write_parts, watched
sys.argv[0] = "hrnet"
main()
"""


def run(program: str, arguments: list[str]) -> tuple[float, float, float]:
    """Seconds and processor seconds of the work, and seconds of all before and after it."""
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True
    )
    whole = time.perf_counter() - begun
    seconds, used = json.loads(done.stderr.splitlines()[-1])
    return seconds, used, whole - seconds


def middle(values: list[float]) -> str:
    low, median, high = quartiles(values)
    return f"{median:.3g} [{low:.3g}, {high:.3g}]"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    real = sorted(file for file in given.pictures.iterdir() if file.suffix.lower() in SUFFIXES)
    actors = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        album = Path(folder, "album")
        album.mkdir()
        size = 0
        for number in range(given.count):
            file = real[number % len(real)].resolve()
            (album / f"{number:06}{file.suffix}").symlink_to(file)
            size += file.stat().st_size
        common = ["predict", str(album), "--out"]
        rows = {"local": [], "ray": []}
        for number in range(given.rounds):
            out = f"{folder}/{number}"
            for name, program, more in (
                ("local", LOCAL, ["--save", "csv"]),
                ("ray", RAY, ["--engine", "ray", "--actors", str(actors), "--save", "jsonl"]),
            ):
                rows[name].append(run(program, [*common, f"{out}-{name}", *more]))
                seconds, used, rest = rows[name][-1]
                print(
                    f"round {number + 1}, {name}: {given.count / seconds:.1f} pictures a second, "
                    f"{1000 * used / given.count:.1f} ms of processors a picture; {rest:.1f} s "
                    "before and after",
                    flush=True,
                )
        parts = sorted(Path(f"{folder}/0-ray/parts").iterdir())
        together = pq.read_table(parts[0].parent)
        people = together.num_rows
        # The same again would cost nothing.
        once = together.filter(pc.less(together["image_id"], len(real)))
        pq.write_table(once, f"{folder}/one.parquet", compression="zstd")
        stored = Path(f"{folder}/one.parquet").stat().st_size / min(given.count, len(real))
        in_parts = sum(file.stat().st_size for file in parts) / given.count
        lines = Path(f"{folder}/0-ray/poses.jsonl").stat().st_size / given.count
    print()
    for name, own in rows.items():
        seconds, used, rest = (list(column) for column in zip(*own, strict=True))
        print(
            f"{name}: {middle([given.count / s for s in seconds])} pictures a second on {actors} "
            f"cores; {middle([1000 * s / given.count for s in used])} ms of processors a picture; "
            f"{middle(rest)} s before and after"
        )
    for place, what in enumerate(("seconds", "processor seconds")):
        ratios = [a[place] / b[place] for a, b in zip(rows["ray"], rows["local"], strict=True)]
        print(f"{what}, ray against local: {middle(ratios)}")
    used = statistics.median(own[1] for own in rows["ray"]) / given.count
    print(f"{people / given.count:.2f} rows and {size / given.count:,.0f} bytes a picture")
    print(
        f"rows, bytes a picture: Parquet {stored:.0f} as one file (in parts of 50 "
        f"pictures {in_parts:.0f}), "
        f"JSON lines {lines:.0f}"
    )
    print(
        f"{MANY:,} pictures: {MANY * used / 3600:,.0f} core hours; read "
        f"{MANY * size / given.count / 1e12:,.1f} TB; written {MANY * stored / 1e12:.2f} TB of "
        f"Parquet, or {MANY * lines / 1e12:.2f} TB of JSON lines"
    )


if __name__ == "__main__":
    main()
