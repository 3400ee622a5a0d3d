"""Draw the packaged model's PCK on the people set aside, over its training.

    pip install matplotlib
    python scripts/make_training_curve.py

Reads docs/packaged_model_curve.csv, copied from the runs' metrics.csv: the leg, how many samples it
had seen in all, and PCK@0.2. Writes docs/pictures/training_curve.png.
"""

import csv
from collections import defaultdict
from pathlib import Path

from matplotlib.figure import Figure

DOCS = Path(__file__).parents[1] / "docs"


def main() -> None:
    legs: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    with (DOCS / "packaged_model_curve.csv").open() as stream:
        for row in csv.DictReader(stream):
            legs[row["leg"]].append((float(row["samples"]) / 1000, float(row["pck"])))
    figure = Figure(figsize=(6, 3.2), layout="constrained")
    axes = figure.subplots()
    for leg, points in legs.items():
        axes.plot(*zip(*points, strict=True), marker="o", label=f"leg {leg}")
    axes.set_xlabel("samples seen, thousands")
    axes.set_ylabel("PCK@0.2, people set aside")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(DOCS / "pictures" / "training_curve.png", dpi=110)


if __name__ == "__main__":
    main()
