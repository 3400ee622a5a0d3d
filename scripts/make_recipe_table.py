"""Writes docs/recipes.md: the recipes in the package and what each is to reach.

python scripts/make_recipe_table.py
"""

from pathlib import Path

from hrnet.files import atomic_write
from hrnet.training.recipe import list_recipes, load_stages
from hrnet.zoo import find_model, list_models

PAGE = Path(__file__).parents[1] / "docs" / "recipes.md"
TEXT = """\
# Recipes

A recipe is one TOML file with everything that a training run depends on. Those of the published
models say how these were trained: data, targets, augmentation, optimiser and schedule. With COCO
the folder that holds `annotations`, `train2017` and `val2017`:

```
hrnet train hrnet_w32_coco_256x192 data.root=COCO --out runs/w32
```

`hrnet train --list` prints what there is. The published figure is that of the model whose name the
recipe has, reached by those who trained it: a goal, not a promise, as these recipes have not been
run to their end with this package. A recipe of one's own that `extends` one of them has all of it
that it does not change, but no published figure.

**Batch and devices.** A step takes `batch_size` x `accumulate` x devices people, and the learning
rate belongs to that number. As they stand, recipes are for one device, which takes the batches of
a step one after the other; each is as large as one device's was in the original, and batch norm,
which sees one batch at a time, works as it did there. On several devices divide `accumulate` by
their number: on eight, `training.accumulate=1` where the table has "64 x 8". Where memory is short,
halve `batch_size` and double `accumulate`.

**Folders.** Data lie as their makers, or for CrowdPose's annotations MMPose, publish them. COCO:
`annotations`, `train2017` and `val2017`; COCO-WholeBody's two files are in `annotations` too.
MPII: `annot` with the official HRNet's `train.json`, `valid.json` and `gt_valid.mat`, and `images`.
CrowdPose: `annotations/mmpose_crowdpose_trainval.json` and `..._test.json`, and `images`. AP-10K:
`annotations` and `data`.

**What is not the same.** MMPose's COCO models of 2022 had rotation and scale of a normal
distribution truncated at 80 degrees and at half the size; ours is clipped, and the paper's 45
degrees and 0.35 spread about as far (standard deviations: 43 and 43 degrees, 0.25 and 0.27). Its
older ones (MPII, CrowdPose, COCO-WholeBody, AP-10K) had a clipped one, of 40 degrees and 0.5,
which their recipes have too. The crop's shift, uniform to 0.16 of its size for three crops in ten,
is that of the older ones (but for MPII's, which have none), which left half bodies where they
were; those of 2022 drew it, too, from the truncated normal distribution. On COCO and COCO-
WholeBody, W48 had 32 people on each of eight devices, at the rate of W32 with 64. While training,
PCK is measured on the annotations' own boxes; for the published figure, `hrnet evaluate` takes a
detector's with `--boxes FILE`, and `--flip-test`.

The packaged model's recipe has stages, the [legs](packaged-model.md) that it took; the table has
the last one. `finetune` and `finetune_head_first` are for [points of one's own](finetuning.md);
`hrnet_w32_small_person` trains the [person detector](people.md).

| recipe | data | input | codec | batch x devices | epochs | published |
|---|---|---|---|---|---|---|
"""
END = "\nThis table is written by `python scripts/make_recipe_table.py`.\n"


def row(name: str) -> str:
    recipe = load_stages(name)[-1]
    training, (width, height) = recipe.training, recipe.model.input_size
    figures = [f"{f.metric} {f.value:g}, {f.protocol}" for f in recipe.published[:1]]
    cells = (
        f"`{name}`",
        find_model(name).card.trained_on,
        f"{height} x {width}",
        recipe.model.codec.kind,
        f"{training.batch_size} x {training.accumulate}",
        f"{training.epochs}" if training.epochs else f"{training.steps} steps",
        *(figures or ["nothing"]),
    )
    return f"| {' | '.join(cells)} |\n"


def page() -> str:
    return TEXT + "".join(row(name) for name in list_recipes() if name in list_models()) + END


def main() -> None:
    with atomic_write(PAGE) as temporary:
        temporary.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
