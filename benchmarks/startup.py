"""From a command to its end, in fresh processes: `hrnet --help`, and the joints of the people in a
picture by the exported packaged model, where PyTorch cannot be imported, against the packaged model
in PyTorch.

    python benchmarks/startup.py [--rounds 7]

In every round each command has its turn, after one turn that does not count, in which what is
compiled gets into the cache.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
from importlib.resources import as_file, files
from pathlib import Path
from tempfile import TemporaryDirectory

from hrnet.benchmarking.measuring import quartiles

RUN = [sys.executable, "-c", "from hrnet.cli import main; main()"]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    with (
        TemporaryDirectory() as name,
        as_file(files("hrnet") / "samples" / "group.jpg") as photograph,
    ):
        folder = Path(name)
        plain = os.environ | {"HRNET_HOME": str(folder / "home")}
        plain.pop("PYTHONDONTWRITEBYTECODE", None)
        (folder / "no_torch" / "torch").mkdir(parents=True)
        Path(folder, "no_torch", "torch", "__init__.py").write_text("raise ImportError('none')")
        without_torch = plain | {"PYTHONPATH": str(folder / "no_torch")}

        def run(command: list[str], environment: dict[str, str]) -> float:
            begun = time.perf_counter()
            subprocess.run(command, check=True, env=environment, capture_output=True)
            return time.perf_counter() - begun

        commands = {
            "python -c pass": ([sys.executable, "-c", "pass"], plain),
            "hrnet --help": ([*RUN, "--help"], plain),
        }
        predict = [*RUN, "predict", str(photograph), "--out", str(folder / "found")]
        for ending, runtime in (("onnx", "onnxruntime"), ("onnx", "openvino"), ("xml", "openvino")):
            pose, person = (str(folder / f"{what}.{ending}") for what in ("pose", "person"))
            if not Path(pose).exists():
                run([*RUN, "export", pose], plain)
                run([*RUN, "export", person, "--detector", "auto"], plain)
            command = [*predict, "--model", pose, "--detector", person, "--runtime", runtime]
            commands[f"predict, .{ending}, {runtime}, no PyTorch"] = (command, without_torch)
        commands["predict, packaged, openvino"] = ([*predict, "--runtime", "openvino"], plain)
        commands["predict, packaged, torch"] = ([*predict, "--runtime", "torch"], plain)
        times: dict[str, list[float]] = {what: [] for what in commands}
        for number in range(-1, options.rounds):
            for what, (command, environment) in commands.items():
                shutil.rmtree(folder / "found", ignore_errors=True)
                taken = run(command, environment)
                if number >= 0:
                    times[what].append(taken)
    slowest = times["predict, packaged, torch"]
    print(f"seconds: medians of {options.rounds} rounds in turn [quartiles]; of PyTorch's time")
    for what, taken in times.items():
        low, middle, high = quartiles(taken)
        part = statistics.median(a / b for a, b in zip(taken, slowest, strict=True))
        print(f"  {what:<40}{middle:6.2f} [{low:.2f}, {high:.2f}]{100 * part:6.0f} %")


if __name__ == "__main__":
    main()
