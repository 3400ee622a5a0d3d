"""Recipes: everything that a training run depends on, as one TOML file."""

import math
import re
import tomllib
from copy import deepcopy
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hrnet.data.batches.plan import Augmentation, CanvasAugmentation
from hrnet.data.coco import Protocol
from hrnet.data.people import Orient
from hrnet.data.reading import read_skeleton
from hrnet.detection.card import DetectorCard
from hrnet.errors import ConfigError
from hrnet.skeletons import find_skeleton
from hrnet.tables import merged, nearest_names, read_table, validate
from hrnet.training.relabelling import Relabel
from hrnet.zoo import find_model
from hrnet.zoo.card import Figure, ModelCard

RECIPES = files(__package__) / "recipes"

# Keys that make another model, or the same of other data: its figures are not the published ones.
_OTHER_MODEL = re.compile(r"model(\..*)?|data(\.sources)?")


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataSource(_Table):
    """One annotation file in COCO's keypoint format, relative to the recipe's `root`.

    Attributes:
        file: its path.
        images: folder of the pictures, relative to `root` too; by default `images` beside the
            file, or the file's own.
        pictures: pattern of names, such as "lspet_*": people in other pictures are left alone.
        protocol: whose boxes, see `hrnet.data.coco.read_coco`.
        orient: what the file's pixels are of pictures that their EXIF data turn: "stored", as
            COCO's tools have it, or "exif", those of the picture turned upright.
        repeat: how often an epoch takes each person.
        truncation: of its people instead of the augmentation's own, see
            `hrnet.data.batches.plan.Augmentation`.
        relabel: how the model that training starts from mends the labels first, see
            `hrnet.training.relabelling.corrected`.
    """

    file: str
    images: str | None = None
    pictures: str | None = None
    protocol: Protocol = "official"
    orient: Orient = "stored"
    repeat: int = Field(default=1, ge=1)
    truncation: float | None = Field(default=None, ge=0, le=1)
    relabel: Relabel | None = None


class BoxedSource(_Table):
    """One annotation file in COCO's format with people's boxes, relative to the recipe's `root`.

    Attributes:
        file, images, orient: see `DataSource`.
        repeat: how often an epoch takes each picture.
        others: name or file of a detector whose boxes say where people are whom the file leaves
            out, see `hrnet.data.boxed_pictures.add_others`; None where it has everybody.
    """

    file: str
    images: str | None = None
    orient: Orient = "stored"
    repeat: int = Field(default=1, ge=1)
    others: str | None = None


class _Data(_Table):
    """What to train on.

    Attributes:
        root: folder that the sources' files are relative to.
        workers: processes that load the pictures to train on; 0 for none but the training one.
        held_out: JSON file in the package's folder of recipes, {folder relative to `root`: [names
            of pictures]}: the sources' people in them are kept from training and measured on.
    """

    root: str = "."
    held_out: str | None = None
    workers: int = Field(default=1, ge=0)


class DataConfig(_Data):
    """What to train on, see also `_Data`.

    Attributes:
        sources: a recipe for any data leaves them to be given: without them nothing is trained.
        validation: whom to measure on while training; repeat and truncation do nothing there.
    """

    sources: tuple[DataSource, ...] = ()
    validation: tuple[DataSource, ...] = ()


class BoxedDataConfig(_Data):
    """What to train a detector on, see also `_Data`.

    Attributes:
        sources, validation: see `DataConfig`.
    """

    sources: tuple[BoxedSource, ...] = ()
    validation: tuple[BoxedSource, ...] = ()


class RunConfig(_Table):
    """How to train whatever is trained.

    Attributes:
        start_from: what to start from: a weights file, URL, "hf:owner/name", or the name of a
            model or of an ImageNet initialisation (hrnet_w32_imagenet); None for random weights.
        seed: of random weights, of the order of people and of their crops.
        steps: optimiser steps in all; or
        epochs: passes over the data in all.
        batch_size: people (of a detector, canvases) a batch, in each process.
        accumulate: batches an optimiser step, where memory is too small for a larger one.
        learning_rate: at its highest, after warm-up.
        weight_decay: of AdamW.
        optimizer: "adamw", or "adam" as the official code and MMPose have it. Decay spares batch
            norm and biases.
        warmup_steps: in which the rate rises to its highest.
        schedule: the rate rises linearly for `warmup_steps`, then falls to zero along half a
            "cosine", or to a tenth at each of the `milestones` ("step").
        milestones: in epochs or steps, whichever the run's length is given in.
        layer_decay: each part of the network has the rate of the part after it times this: stem;
            layer1 and transition1; stage2 and transition2; stage3 and transition3; stage4; head,
            at the full rate.
        head_first_steps: for so many steps the rate of all but the head is zero; then it rises for
            `warmup_steps` to where the run's schedule is by then. (Batch norm's averages follow
            the data from the start, and such a step takes as long as another.)
        ema: decay a step of the exponential moving average of the weights, which then is what is
            measured and saved; None for none.
        start_share: share of the weights that were started from in those that are saved, the rest
            being those learnt: their mean is often better than either, on other data above all
            (Wortsman et al., Robust fine-tuning of zero-shot models, CVPR 2022). What is measured
            while training is of those learnt alone.
        early_stopping: after so many measurements that were no better than the best before them
            training ends, and the best one's weights are the result; a run that gets to its end
            keeps the last ones. None for never.
        precision: Lightning's name: "32-true", "bf16-mixed", "16-mixed". On a processor without
            bf16 instructions "bf16-mixed" is as "32-true".
        sync_batchnorm: batch norm by the statistics of all processes' people.
        compile: let `torch.compile` make the network faster; the first steps take minutes.
        threads: CPU threads of the training process; None leaves it to PyTorch.
        checkpoint_minutes: time between checkpoints.
        validate_every: steps between measurements on the people to measure on.
    """

    start_from: str | None = None
    seed: int = Field(default=0, ge=0, lt=2**32)
    steps: int | None = Field(default=None, ge=1)
    epochs: int | None = Field(default=None, ge=1)
    batch_size: int = Field(default=32, ge=1)
    accumulate: int = Field(default=1, ge=1)
    optimizer: Literal["adamw", "adam"] = "adamw"
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    warmup_steps: int = Field(default=500, ge=0)
    schedule: Literal["cosine", "step"] = "cosine"
    milestones: tuple[int, ...] = ()
    layer_decay: float = Field(default=1.0, gt=0, le=1)
    head_first_steps: int = Field(default=0, ge=0)
    ema: float | None = Field(default=None, gt=0, lt=1)
    start_share: float = Field(default=0.0, ge=0, lt=1)
    early_stopping: int | None = Field(default=None, ge=1)
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    sync_batchnorm: bool = False
    compile: bool = False
    threads: int | None = Field(default=None, ge=1)
    checkpoint_minutes: float = Field(default=5.0, gt=0)
    validate_every: int = Field(default=1000, ge=1)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("give steps or epochs, one of them")
        if (self.schedule == "step") != bool(self.milestones):
            raise ValueError('milestones belong to schedule = "step", which needs them')
        if self.optimizer == "adam" and self.weight_decay:
            raise ValueError("weight_decay is for adamw; the official Adam has none")
        return self

    def rate(self, step: int, steps: int, *, start: int = 0) -> float:
        """The factor on the learning rate at one of the run's optimiser steps.

        It is the run's own, whatever begins when: what begins to learn at `start` only has its
        rise to the run's rate then.
        """
        if step < start:
            return 0.0
        rise = min(1.0, (step - start + 1) / max(1, self.warmup_steps))
        return rise * self._fall(step, steps)

    def _fall(self, step: int, steps: int) -> float:
        if step < self.warmup_steps:
            return 1.0
        if self.schedule == "step":
            passed = step / steps * (self.epochs or self.steps or 1)
            return float(0.1 ** sum(passed >= milestone for milestone in self.milestones))
        done = (step - self.warmup_steps) / max(1, steps - self.warmup_steps)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


class TrainingConfig(RunConfig):
    """How to train a pose model, see also `RunConfig`.

    Attributes:
        loss: "mse", the official masked squared error, or "cross_entropy" over locations.
        start_head: "skip" leaves the head random, where it has other joints or there is none;
            "by_name" takes over the heatmaps of the keypoints that both models have, by their
            names, and leaves the others random.
        distillation: share of each labelled joint's target that is what the model that the run
            starts from sees in the same crop, with the flip test if the skeleton mirrors; the rest
            is the label's (Furlanello et al., Born-again neural networks, ICML 2018). With
            "cross_entropy"; a step takes a quarter longer.
    """

    loss: Literal["mse", "cross_entropy"] = "mse"
    start_head: Literal["load", "skip", "by_name"] = "load"
    distillation: float = Field(default=0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _teaches(self) -> Self:
        if self.distillation and self.loss != "cross_entropy":
            raise ValueError('distillation is of distributions; it needs loss = "cross_entropy"')
        return self


class _Run(_Table):
    """A training run.

    Attributes:
        schema: of this table; 1.
        description: what it is for, in its first sentence, and what is to be known of it.
        published: what it is to reach: the figures of the model that a recipe of the package has
            the name of. They are that model's, not of what this run makes.
        model: the card of what comes out.
        data: what to train on.
        augmentation: how pictures are changed at random.
        training: how to train.
    """

    schema_version: Literal[1] = Field(alias="schema")
    description: str = ""
    published: tuple[Figure, ...] = ()


class Recipe(_Run):
    """A pose model's training run. In the file, `extends` may name another recipe, of which it has
    all that it does not say itself, but for stages. `model` is the card of the model that comes
    out: in the file, a table with a card's keys, or with `card`, the name of one, and the keys to
    change in it. Its `skeleton` is the name of one, a TOML file, or "data": what the first source's
    own category describes (and as long as there is no source, the card's).
    """

    model: ModelCard
    data: DataConfig = DataConfig()
    augmentation: Augmentation = Augmentation()
    training: TrainingConfig

    def lasting(self) -> dict[str, Any]:
        """By key what a run that goes on must have as it was: what a checkpoint holds depends on
        these, or overrules them."""
        return {
            "model.network": self.model.network,
            "model.skeleton": self.model.skeleton.keypoints,
            "model.input_size": self.model.input_size,
            "model.codec": self.model.codec.kind,
            "training.distillation": self.training.distillation,
            **_lasting(self.training),
        }


class DetectorRecipe(_Run):
    """A person detector's training run: in the file, `task = "detection"`. The rest is as in
    `Recipe`; `model` is the card's own keys.

    What it starts from is a detector, or any other HRNet, whose head is left out.
    """

    model: DetectorCard
    data: BoxedDataConfig = BoxedDataConfig()
    augmentation: CanvasAugmentation = CanvasAugmentation()
    training: RunConfig

    def lasting(self) -> dict[str, Any]:
        """See `Recipe.lasting`."""
        return {"model.network": self.model.network, **_lasting(self.training)}


AnyRecipe = Recipe | DetectorRecipe


def _lasting(config: RunConfig) -> dict[str, Any]:
    return {
        "training.optimizer": config.optimizer,
        "training.learning_rate": config.learning_rate,
        "training.weight_decay": config.weight_decay,
        "training.accumulate": config.accumulate,
        "training.layer_decay": config.layer_decay,
        "training.head_first_steps": config.head_first_steps > 0,
        "training.ema": config.ema is not None,
    }


def started_from(recipe: AnyRecipe, weights: Path) -> AnyRecipe:
    """The recipe, but from the weights of a model of the same kind, head and all."""
    changes = {"start_from": str(weights)}
    if isinstance(recipe, Recipe):
        changes["start_head"] = "load"
    training = recipe.training.model_copy(update=changes)
    return recipe.model_copy(update={"training": training})


def augmentation_of(recipe: Recipe, source: DataSource) -> Augmentation:
    """What is done to the crops of a source's people."""
    if source.truncation is None:
        return recipe.augmentation
    return recipe.augmentation.model_copy(update={"truncation": source.truncation})


def list_recipes() -> list[str]:
    """Names of the recipes in the package."""
    return sorted(f.name[:-5] for f in RECIPES.iterdir() if f.name.endswith(".toml"))


def load_pose_recipe(name: str, overrides: list[str] | None = None) -> Recipe:
    """`load_recipe` of one for poses.

    Raises:
        ConfigError: it is for something else, too.
    """
    recipe = load_recipe(name, overrides)
    if not isinstance(recipe, Recipe):
        raise ConfigError(f"recipe {name} is for a detector; name one for a pose model")
    return recipe


def load_recipe(name: str, overrides: list[str] | None = None) -> AnyRecipe:
    """A recipe of the package by name, or a TOML file by path, with keys changed; of one with
    stages, what these change.

    Args:
        overrides: "key=value" with a dotted key and a TOML value, such as
            "training.batch_size=64"; text needs no quotes.

    Raises:
        ConfigError: no such recipe, an unknown key, or a value that does not fit.
    """
    table = _table(name)
    table.pop("stages", None)
    return _resolve(table, name, overrides or [])


def load_stages(name: str, overrides: list[str] | None = None) -> list[AnyRecipe]:
    """The recipes that are to be trained by one after the other, each from the weights of the one
    before: in the file, `[[stages]]` are tables with what each changes in the rest of it. A recipe
    without stages is one.

    Args:
        overrides: as for `load_recipe`, of every stage.

    Raises:
        ConfigError: as `load_recipe`, with the number of the stage.
    """
    table = _table(name)
    stages = table.pop("stages", [{}])
    if not isinstance(stages, list) or not all(isinstance(stage, dict) for stage in stages):
        raise ConfigError(f"recipe {name}: stages must be tables, [[stages]]")
    if len(stages) == 1:
        return [_resolve(merged(table, stages[0]), name, overrides or [])]
    recipes = []
    for number, stage in enumerate(stages, 1):
        changed = deepcopy(table)
        _forget_other_length(changed, stage)
        try:
            recipes.append(_resolve(merged(changed, stage), name, overrides or []))
        except ConfigError as error:
            raise ConfigError(f"stage {number}: {error}") from None
    return recipes


def _resolve(table: dict[str, Any], name: str, overrides: list[str]) -> AnyRecipe:
    for override in overrides:
        table = _apply(table, override)
    task = table.pop("task", "pose")
    if task == "detection":
        changed = {override.partition("=")[0] for override in overrides}
        if changed & {"data", "data.sources"}:  # true of the packaged one, not of another's
            for key in ("description", "trained_on", "licence"):
                table.get("model", {}).pop(key, None)
        return validate(DetectorRecipe, table, f"recipe {name}")
    if task != "pose":
        raise ConfigError(f"recipe {name}: task is {task!r}; it must be 'pose' or 'detection'")
    model, data = table.get("model"), table.get("data")
    data_given = isinstance(data, dict) and data.get("sources")
    if isinstance(model, dict) and model.get("skeleton") == "data" and not data_given:
        model = table["model"] = {key: value for key, value in model.items() if key != "skeleton"}
    if isinstance(model, dict) and "card" in model:
        changes = {key: value for key, value in model.items() if key != "card"}
        card = find_model(model["card"]).card
        base = card.model_dump(mode="json", by_alias=True, exclude_unset=True)
        figures = base.pop("figures", ())
        keys = [override.partition("=")[0] for override in overrides]
        if name == model["card"] and not any(map(_OTHER_MODEL.fullmatch, keys)):
            table["published"] = figures
        for key in ("description", "trained_on", "licence", "source", "weights", "calibration"):
            base.pop(key, None)  # true of the published model, not of what this run will make
        if "skeleton" in changes:
            base.pop("skeleton")  # another one replaces it whole
        table["model"] = merged(base, changes)
    if isinstance(model, dict) and isinstance(model.get("skeleton"), str):
        table["model"]["skeleton"] = _skeleton(model["skeleton"], table, f"recipe {name}")
    return validate(Recipe, table, f"recipe {name}")


def _table(name: str, depth: int = 0) -> dict[str, Any]:
    """A recipe's table, on top of those that it extends."""
    if name.endswith(".toml"):
        table = read_table(Path(name))
    elif name in list_recipes():
        table = read_table(RECIPES / f"{name}.toml")
    else:
        raise ConfigError(f"there is no recipe {name!r}{nearest_names(name, list_recipes())}")
    base = table.pop("extends", None)
    if base is None:
        return table
    if depth > 9:
        raise ConfigError(f"recipe {name} extends too many others, or itself")
    extended = _table(str(base), depth + 1)
    extended.pop("stages", None)
    _forget_other_length(extended, table)
    return merged(extended, table)


def _forget_other_length(table: dict[str, Any], changes: dict[str, Any]) -> None:
    """A run has one length, in steps or in epochs: of two the one that is given last."""
    training, changed = table.get("training"), changes.get("training")
    if isinstance(training, dict) and isinstance(changed, dict):
        for length, other in (("steps", "epochs"), ("epochs", "steps")):
            if length in changed and other not in changed:
                training.pop(other, None)


def _skeleton(name: str, table: dict[str, Any], where: str) -> dict[str, Any]:
    """A skeleton by name, of a TOML file, or ("data") of the first source's own category."""
    if name != "data":
        return find_skeleton(name).to_dict()
    data = validate(DataConfig, table.get("data", {}), f"{where}, data")
    return read_skeleton(Path(data.root, data.sources[0].file)).to_dict()


def _apply(table: dict[str, Any], override: str) -> dict[str, Any]:
    """The table with one key changed."""
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"{override!r} is not of the form key=value")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *path, last = key.split(".")
    changes: dict[str, Any] = {last: value}
    inner: Any = table
    for part in path:
        inner = inner.get(part, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"{override!r}: {part} is not a table")
    for part in reversed(path):
        changes = {part: changes}
    _forget_other_length(table, changes)
    return merged(table, changes)
