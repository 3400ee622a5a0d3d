"""Draw how runs learn: PCK@0.2 of the people to measure on, against steps; and print the figures.

    python scripts/make_finetuning_curve.py OUT.png RUN...

RUN is a folder that `hrnet train --out` has written to; its name is the curve's. matplotlib comes
with `pip install 'hrnet[train]'`.
"""

import csv
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def measured(run: Path) -> dict[int, float]:
    """{steps done: PCK}; a run that was resumed has a log for each part of it."""
    logs = [path.read_text().splitlines() for path in run.glob("log/from_step_*/metrics.csv")]
    rows = [row for log in logs for row in csv.DictReader(log) if row.get("pck")]
    return {int(row["step"]) + 1: float(row["pck"]) for row in rows}


def main(out: str, *runs: str) -> None:
    curves = {Path(run).name.replace("_", " "): measured(Path(run)) for run in runs}
    figure, axes = plt.subplots(figsize=(5.2, 3), layout="constrained")
    for name, curve in curves.items():
        axes.plot(list(curve), list(curve.values()), marker="o", markersize=3, label=name)
    axes.set(xlabel="steps", ylabel="PCK@0.2, %", ylim=(0, 100))
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(out, dpi=100)

    print(f"| steps | {' | '.join(curves)} |")
    print("|---|" + "---|" * len(curves))
    for step in sorted({step for curve in curves.values() for step in curve}):
        cells = [f"{curve[step]:.1f}" if step in curve else "" for curve in curves.values()]
        print(f"| {step} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main(*sys.argv[1:])
