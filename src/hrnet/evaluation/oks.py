"""OKS average precision: COCO's protocol for keypoints, computed by pycocotools."""

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from hrnet.skeletons import Skeleton

# The order of COCOeval.stats for keypoints.
STATS = ("AP", "AP50", "AP75", "AP(M)", "AP(L)", "AR", "AR50", "AR75", "AR(M)", "AR(L)")


def oks_ap(file: str | Path, results: list[dict[str, Any]], skeleton: Skeleton) -> dict[str, float]:
    """AP and AR over OKS 0.50:0.05:0.95, from 0 to 1 (-1 where nothing is to be found).

    Args:
        file: annotation file in COCO's keypoint format.
        results: rows as of `Poses.to_coco`.
        skeleton: its sigmas are OKS's constants; they must not be None.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    # pycocotools reports on standard output, and changes what it is given.
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = json.loads(Path(file).read_text(encoding="utf-8"))
        truth.dataset.setdefault("info", {})
        # The model knows one sort of being, whatever its number is in the file.
        truth.dataset["categories"] = [{"id": 1, "name": "person"}]
        for row in truth.dataset["annotations"]:  # what it needs, and files often lack
            row["category_id"] = 1
            row["iscrowd"] = row.get("iscrowd") or 0
            labelled = sum(v > 0 for v in row.get("keypoints", [])[2::3])
            row["num_keypoints"] = row.get("num_keypoints", labelled)
        truth.createIndex()
        found = truth.loadRes([dict(row) for row in results]) if results else COCO()
        evaluation = COCOeval(truth, found, "keypoints")
        evaluation.params.kpt_oks_sigmas = np.array(skeleton.sigmas)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {name: float(value) for name, value in zip(STATS, evaluation.stats, strict=True)}
