"""A model's speed in every runtime and precision that this machine has."""

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from hrnet.errors import ConfigError
from hrnet.runtime.execution import package_versions
from hrnet.zoo.find import DEFAULT_MODEL, EXPORTED

WAYS = [
    ("torch", "fp32"),
    ("torch", "bf16"),
    ("onnxruntime", "fp32"),
    ("openvino", "fp32"),
    ("openvino", "bf16"),
    ("openvino", "fp16"),
]
INSTRUCTIONS = (
    *("avx2", "avx512f", "avx512_bf16", "avx512_fp16", "avx512_vnni", "avx_vnni"),
    *("amx_bf16", "amx_int8", "asimd", "bf16", "i8mm"),
)
PACKAGES = ("hrnet", "torch", "onnxruntime", "openvino")
LONG = 3.0  # seconds of one measurement from where three rounds will do


class _Worker:
    """See `hrnet.benchmarking.worker`."""

    def __init__(self, settings: dict[str, Any]) -> None:
        begun = time.perf_counter()
        command = [sys.executable, "-m", "hrnet.benchmarking.worker", json.dumps(settings)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.about = self._answer()
        self.start = time.perf_counter() - begun

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        line = self._process.stdout.readline()
        if not line:
            said = self._process.stderr.read().strip().splitlines()
            raise ConfigError(said[-1].partition(": ")[2] if said else "it ended")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def measure(self, people: int) -> dict[str, float]:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{people}\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


def measure(
    settings: dict[str, Any],
    *,
    people: Sequence[int],
    rounds: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """The whole way from a JPEG and people's boxes to joints, and the network's part of it.

    Each way has a process of its own; in every round each is asked in turn.

    Args:
        settings: `model`, `weights`, `device`, `flip_test` of `hrnet.PoseEstimator`.
        people: how many in a picture.
        rounds: how often each is measured, after once to warm up.
        progress: called with measurements done and in all.

    Returns:
        A record of the machine and, under `ways`, of each way: seconds a picture (median and
        quartiles) by number of people, seconds to the first result of a process, MB at most.

    Raises:
        ConfigError: no way goes, with the reason of the first.
    """
    record: dict[str, Any] = {
        "machine": machine(),
        "model": settings["model"] or DEFAULT_MODEL,
        "flip_test": settings["flip_test"],
        "people": list(people),
        "rounds": rounds,
        "ways": [],
        "not here": {},
    }
    reasons: dict[str, str] = record["not here"]
    exported = str(settings["model"]).endswith(EXPORTED)
    with ExitStack() as opened:
        workers: dict[tuple[str, str], _Worker] = {}
        for runtime, precision in WAYS:
            if exported and runtime == "torch":
                continue
            own = {**settings, "runtime": runtime, "precision": precision}
            try:
                _Worker(own).close()  # which may have had to convert the model
                worker = _Worker(own)
            except ConfigError as error:
                reasons[f"{runtime}, {precision}"] = str(error)
                continue
            opened.callback(worker.close)
            workers[runtime, precision] = worker
        if not workers:
            raise ConfigError(next(iter(reasons.values())))
        times: dict[tuple[str, str], dict[int, list[dict[str, float]]]] = {
            way: {n: [] for n in people} for way in workers
        }
        done, total = 0, (rounds + 1) * len(people) * len(workers)
        for _ in range(rounds + 1):
            for n in people:
                for way, worker in workers.items():
                    before = times[way][n]
                    if len(before) < 4 or before[-1]["whole"] < LONG:
                        before.append(worker.measure(n))
                    done += 1
                    progress(done, total)
        for (runtime, precision), worker in workers.items():
            of_way = {n: found[1:] for n, found in times[runtime, precision].items()}
            record["ways"].append(
                {
                    "runtime": runtime,
                    "precision": precision,
                    **worker.about,
                    "start": worker.start,
                    "memory": max(own["memory"] for found in of_way.values() for own in found),
                    "whole": {str(n): _spread(found, "whole") for n, found in of_way.items()},
                    "network": {str(n): _spread(found, "network") for n, found in of_way.items()},
                }
            )
    return record


def quartiles(values: list[float]) -> list[float]:
    """Lower quartile, median, upper quartile; of one value, it."""
    return statistics.quantiles(values, n=4) if len(values) > 1 else values * 3


def _spread(found: list[dict[str, float]], what: str) -> list[float]:
    return quartiles([own[what] for own in found])


def machine() -> dict[str, Any]:
    """The processor, what it can do that matters here, and the versions of what runs on it."""
    name, flags = platform.processor() or platform.machine(), set[str]()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                name = value.strip()
            if key.strip() in ("flags", "Features"):
                flags = set(value.split())
    return {
        "processor": name,
        "processors": os.cpu_count(),
        "instructions": [own for own in INSTRUCTIONS if own in flags],
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": package_versions(PACKAGES),
    }


def markdown(record: dict[str, Any]) -> str:
    """The record as a page."""
    about, ways = record["machine"], record["ways"]
    lines = [
        f"# {record['model']}",
        "",
        f"{about['processor']}, {about['processors']} processors"
        f" ({', '.join(about['instructions'])}); {about['system']}, Python {about['python']}, "
        + ", ".join(f"{name} {version}" for name, version in about["versions"].items()),
        "",
        f"Flip test {'on' if record['flip_test'] else 'off'}. Milliseconds a person, from a JPEG "
        f"of 1280 x 960 and boxes to joints: medians of {record['rounds']} rounds in turn "
        "[quartiles]; in brackets the network's part.",
        "",
        "| people in a picture | " + " | ".join(map(_name, ways)) + " |",
        "|---" * (1 + len(ways)) + "|",
    ]
    for n in record["people"]:
        cells = []
        for way in ways:
            low, middle, high = (1000 * t / n for t in way["whole"][str(n)])
            part = 100 * way["network"][str(n)][1] / way["whole"][str(n)][1]
            cells.append(f"{middle:.1f} [{low:.1f}, {high:.1f}] ({min(part, 100):.0f} %)")
        lines.append(f"| {n} | " + " | ".join(cells) + " |")
    for title, cells in (
        ("people a second, at most", [f"{most_a_second(record, way):.0f}" for way in ways]),
        ("seconds to the first result", [f"{way['start']:.2f}" for way in ways]),
        ("MB at most", [f"{way['memory']:.0f}" for way in ways]),
    ):
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    rates = [
        f"{way['matrix_rate']:.0f} GFLOP/s in {way['precision']}"
        for way in ways
        if "matrix_rate" in way
    ]
    if rates:
        lines += ["", f"The machine's own product of matrices, by PyTorch: {', '.join(rates)}."]
    lines += [f"\nNot measured: {way}: {why}." for way, why in record["not here"].items()]
    return "\n".join(lines) + "\n"


def most_a_second(record: dict[str, Any], way: dict[str, Any]) -> float:
    """People, with the number in a picture that is best."""
    return max(float(n / way["whole"][str(n)][1]) for n in record["people"])


def _name(way: dict[str, Any]) -> str:
    return f"{way['runtime']}, {way['precision']}"


def plot(record: dict[str, Any], file: Path) -> None:
    """Draw milliseconds a person against people in a picture.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for way in record["ways"]:
        low, middle, high = zip(
            *([1000 * t / n for t in way["whole"][str(n)]] for n in record["people"]), strict=True
        )
        (line,) = axes.plot(record["people"], middle, marker="o", label=_name(way))
        axes.fill_between(record["people"], low, high, alpha=0.2, color=line.get_color())
    axes.set_xscale("log", base=2)
    axes.set_xticks(record["people"], [str(n) for n in record["people"]])
    axes.set_ylim(bottom=0)
    axes.set_xlabel("people in a picture")
    axes.set_ylabel("ms a person")
    about = record["machine"]
    axes.set_title(f"{record['model']}\n{about['processor']}, {about['processors']} processors")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(file, dpi=150)
