"""Label few, train, predict more, correct, train again: what it brings, on real pictures.

    python scripts/make_correction_curve.py DATA SCRATCH OUT.png [SEEDS]

DATA holds lsp/, of whose 500 test people, all unknown to the packaged model, 50 are labelled at
first, 150 are predicted and corrected, and 200 are measured on. The person who corrects is played
by the true labels: a joint further off than a tenth of the torso is put right, what is missing put
in. The last training has all 200 labelled from nothing.
The commands are those of docs/en/labelling.md; matplotlib comes with `pip install 'hrnet[train]'`.
"""

import json
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np

from hrnet.data.annotations import read_annotations, write_annotations
from hrnet.data.coco import read_coco

matplotlib.use("Agg")
import matplotlib.pyplot as plt

FIRST, MORE, STEPS = 50, 150, 300
NEAR = 0.1  # of the torso, from the left shoulder to the right hip
TORSO = ("left_shoulder", "right_hip")


def run(*arguments: object) -> None:
    command = [str(Path(sys.executable).parent / "hrnet"), *map(str, arguments)]
    print("hrnet", *command[1:], flush=True)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def choose(data: Path, folder: Path, seed: int) -> None:
    """first.json, held_out.json, and a folder of pictures that nobody has labelled."""
    content = read_annotations(data / "lsp" / "test.json")
    order = np.random.default_rng(seed).permutation(len(content["images"]))
    more = order[FIRST : FIRST + MORE]
    parts = {"first.json": order[:FIRST], "by_hand.json": more, "held_out.json": order[-200:]}
    (folder / "images").symlink_to((data / "lsp" / "images").resolve())
    for name, chosen in parts.items():
        images = [content["images"][i] for i in chosen]
        ids = {image["id"] for image in images}
        own = [a for a in content["annotations"] if a["image_id"] in ids]
        write_annotations({folder / name: {**content, "images": images, "annotations": own}})
    (folder / "unlabelled").mkdir()
    for i in more:
        name = content["images"][i]["file_name"]
        (folder / "unlabelled" / name).symlink_to((data / "lsp" / "images" / name).resolve())


def train(folder: Path, file: str, seed: int, steps: int) -> float:
    """PCK on the people to measure on."""
    name = Path(file).stem
    run(
        *("train", "finetune", f"data.root={folder}", f'data.sources=[{{file="{file}"}}]'),
        *('data.validation=[{file="held_out.json"}]', f"training.steps={steps}"),
        *(f"training.validate_every={steps}", f"training.seed={seed}"),
        *("--out", folder / "runs" / name),
    )
    model = folder / "runs" / name / "finetuned.safetensors"
    report = folder / "runs" / name / "report"
    run("evaluate", "--model", model, "--data", folder / "held_out.json", "--out", report)
    return json.loads((report / "figures.json").read_text())["figures"]["PCK@0.2"]


def correct(tasks: Path, data: Path, out: Path) -> dict[str, int]:
    """Play the person at the tool: Label Studio's export of corrected tasks; how many joints were
    left, moved, put in, taken out."""
    truth = read_coco(data / "lsp" / "test.json")
    by_name = {file.name: i for i, file in enumerate(truth.files)}
    counts = dict.fromkeys(("left", "moved", "put in", "taken out"), 0)
    done = []
    for number, task in enumerate(json.loads(tasks.read_text()), 1):
        i = by_name[task["data"]["image"].rpartition("/")[2]]
        own = dict(zip(truth.names, truth.keypoints[i], strict=True))
        torso = np.linalg.norm(own[TORSO[0]][:2] - own[TORSO[1]][:2])
        (prediction,) = task["predictions"]
        box, *points = prediction["result"]
        scale = np.array([box["original_width"], box["original_height"]]) / 100
        found = {point["value"]["keypointlabels"][0]: point for point in points}
        results = [box]
        for name, (x, y, v) in own.items():
            point = found.pop(name, None)
            if not v:
                counts["taken out"] += point is not None
                continue
            place = np.array([x, y]) / scale
            if point is None:
                counts["put in"] += 1
                point = {**points[0], "id": f"{number}_{name}"}
            else:
                was = np.array([point["value"]["x"], point["value"]["y"]])
                near = np.linalg.norm((was - place) * scale) <= NEAR * torso
                counts["left" if near else "moved"] += 1
                place = was if near else place
            value = {"x": place[0], "y": place[1], "width": 0.5, "keypointlabels": [name]}
            results.append({**point, "value": value})
        annotation = {"result": results, "was_cancelled": False}
        done.append({"id": number, "data": task["data"], "annotations": [annotation]})
    out.write_text(json.dumps(done))
    return counts


def walk(data: Path, folder: Path, seed: int, steps: int) -> list[float]:
    """PCK after the first labels, with predictions as they are, with these corrected, and with
    labels made from nothing."""
    folder.mkdir(parents=True)
    choose(data, folder, seed)
    figures = [train(folder, "first.json", seed, steps)]
    model = folder / "runs" / "first" / "finetuned.safetensors"
    predicted, tasks = folder / "predicted", folder / "tasks"
    run(
        *("predict", folder / "unlabelled", "--model", model, "--save", "labels"),
        *("--out", predicted),
    )
    run(
        *("data", "export", "label-studio", predicted / "labels.json", tasks),
        *("--images", folder / "unlabelled"),
    )
    print(correct(tasks / "tasks.json", data, tasks / "corrected.json"))
    run("data", "prepare", "label-studio", tasks / "corrected.json", folder / "corrected")
    for name, more, images in (
        ("uncorrected", predicted / "labels.json", folder / "unlabelled"),
        ("all", folder / "corrected" / "train.json", folder / "corrected" / "images"),
        ("by_hand", folder / "by_hand.json", folder / "images"),
    ):
        run(
            *("data", "merge", folder / "first.json", more, folder / name / f"{name}.json"),
            *("--skeleton", "lsp14", "--images", folder / "images", "--images", images),
        )
        figures.append(train(folder, f"{name}/{name}.json", seed, steps))
    return figures


def main(data: Path, scratch: Path, out: Path, seeds: int = 3, steps: int = STEPS) -> None:
    rows = np.array([walk(data, scratch / f"seed_{seed}", seed, steps) for seed in range(seeds)])
    names = [
        f"{FIRST} labelled",
        f"and {MORE}\npredicted",
        f"and {MORE}\ncorrected",
        f"and {MORE}\nlabelled",
    ]
    figure, axes = plt.subplots(figsize=(5.2, 3), layout="constrained")
    axes.plot(names, rows.T, color="tab:blue", alpha=0.4, marker="o", markersize=3)
    axes.plot(names, rows.mean(axis=0), color="tab:blue", marker="o")
    axes.set(ylabel="PCK@0.2, %")
    axes.grid(alpha=0.3)
    figure.savefig(out, dpi=100)
    for name, column in zip(names, rows.T, strict=True):
        spread = ", ".join(f"{value:.1f}" for value in column)
        print(f"| {' '.join(name.split())} | {column.mean():.1f} ({spread}) |")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), *map(int, sys.argv[4:]))
