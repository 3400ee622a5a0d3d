"""Write the reference pages of both languages: Python's names, the command line, and the keys of
cards, recipes, skeletons and detectors, each from the code that has them.

    python scripts/make_reference.py

Docstrings and help are English in both.
"""

import json
import re
import types
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pages import write_pages
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from typer.testing import CliRunner

import hrnet
from hrnet.calibration import Calibration
from hrnet.cli import app
from hrnet.detection.card import DetectorCard
from hrnet.skeletons import Skeleton
from hrnet.training.recipe import DetectorRecipe, Recipe
from hrnet.zoo.card import ModelCard

DOCS = Path(__file__).parents[1] / "docs"
COMMANDS = (
    *("predict", "serve", "evaluate", "train", "export", "convert", "benchmark", "models", "data"),
)
# Beside the front door: what who builds on the parts imports. Their public names are the
# reference's too.
MODULES = [
    "network",
    "codec",
    "geometry",
    "model",
    "detection_model",
    "calibration",
    "similarity",
    "drawing",
    "images.reading",
    "predicting.rows",
    "ray",
    "runtime.session",
    "evaluation.keypoint_eval",
    "evaluation.oks",
    "evaluation.pck",
    "evaluation.distances",
    "training.recipe",
    "exporting",
    "quantising",
]
WORDS = {
    "en": {
        "python": "Python",
        "python_about": "What `import hrnet` offers. Each name is loaded when it is first used.",
        "parts": "Parts",
        "parts_about": "What the front door is built of, for those who build on it.",
        "command_line": "Command line",
        "command_line_about": "What each command says of itself. Every command has `--help`. A "
        "user's mistake is one sentence and exit status 2.",
        "formats": "Cards, recipes, skeletons",
        "formats_about": "The keys of the TOML files, as they are validated: a key that is not "
        "here is refused, by a sentence that names the file, the key and the fix.",
        "key": "key",
        "type": "type",
        "default": "default",
        "meaning": "meaning",
        "needed": "needed",
        "Recipe": "Recipes of pose models",
        "DetectorRecipe": "Recipes of detectors",
        "ModelCard": "Cards of pose models",
        "DetectorCard": "Cards of detectors",
        "Skeleton": "Skeletons",
        "Calibration": "Probabilities of joints",
    },
    "zh": {
        "python": "Python",
        "python_about": "`import hrnet` 提供的名字。每个名字在第一次使用时才加载。"
        "文档字符串为英文。",
        "parts": "各个部分",
        "parts_about": "上面这些由哪些部分构成,供在其上开发的人查阅。",
        "command_line": "命令行",
        "command_line_about": "各命令自己的说明(英文)。每个命令都有 `--help`。"
        "用户的错误只给出一句话,退出状态为 2。",
        "formats": "模型卡、训练配方、骨架",
        "formats_about": "TOML 文件的键,以校验它们的代码为准:这里没有的键会被拒绝,"
        "并用一句话指出文件、键和改法。说明为英文。",
        "key": "键",
        "type": "类型",
        "default": "默认值",
        "meaning": "含义",
        "needed": "必填",
        "Recipe": "姿态模型的训练配方",
        "DetectorRecipe": "检测器的训练配方",
        "ModelCard": "姿态模型的模型卡",
        "DetectorCard": "检测器的模型卡",
        "Skeleton": "骨架",
        "Calibration": "关键点的概率",
    },
}


def python_page(words: dict[str, str]) -> str:
    """Every name of the front door, then the modules behind it."""
    lines = [f"# {words['python']}", "", words["python_about"], "", "```{eval-rst}"]
    for name in sorted(hrnet.__all__, key=str.lower):
        thing = getattr(hrnet, name)
        if isinstance(thing, type):
            lines += [f".. autoclass:: hrnet.{name}", "   :members:"]
        elif callable(thing):
            lines += [f".. autofunction:: hrnet.{name}"]
        else:
            lines += [f".. py:data:: hrnet.{name}", "   :type: str"]
        lines.append("")
    lines += ["```", "", f"## {words['parts']}", "", words["parts_about"], ""]
    for module in MODULES:
        lines += [f"### hrnet.{module}", "", "```{eval-rst}", f".. automodule:: hrnet.{module}"]
        lines += ["   :members:", "```", ""]
    return "\n".join(lines)


def command_line_page(words: dict[str, str]) -> str:
    """What `--help` of every command prints."""
    lines = [f"# {words['command_line']}", "", words["command_line_about"], ""]
    for command in _with_parts(COMMANDS):
        name = " ".join(["hrnet", *command])
        lines += [f"## {name}", "", "```text", _help(command).strip(), "```", ""]
    return "\n".join(lines)


def _with_parts(commands: list[str]) -> Iterator[list[str]]:
    for command in commands:
        yield [command]
        _, _, parts = _help([command]).partition("Commands:\n")
        for part in re.findall(r"^  (\S+)", parts, flags=re.MULTILINE):
            yield [command, part]


def _help(command: list[str]) -> str:
    result = CliRunner().invoke(app, [*command, "--help"], prog_name="hrnet", terminal_width=100)
    assert result.exit_code == 0, result.output
    return "\n".join(line.rstrip() for line in result.output.splitlines())


def formats_page(words: dict[str, str]) -> str:
    """The keys of each kind of table, with those of the tables in it."""
    lines = [f"# {words['formats']}", "", words["formats_about"], ""]
    seen: set[type[BaseModel]] = set()
    for model in (Recipe, DetectorRecipe, ModelCard, DetectorCard, Skeleton, Calibration):
        lines += [f"## {words[model.__name__]}", "", _summary(model), ""]
        lines += _table(model, words)
        for key, inner in _tables_in(model, ""):
            if inner not in seen:
                seen.add(inner)
                lines += [f"### `{key}`", "", _summary(inner), "", *_table(inner, words)]
    return "\n".join(lines)


def _table(model: type[BaseModel], words: dict[str, str]) -> list[str]:
    meanings = _meanings(model)
    head = [words[name] for name in ("key", "type", "default", "meaning")]
    lines = [f"| {' | '.join(head)} |", "|---|---|---|---|"]
    for name, field in model.model_fields.items():
        key = field.alias or name
        default = words["needed"] if field.is_required() else f"`{_default(field)}`"
        meaning = meanings[key].replace("|", "\\|")
        lines.append(f"| `{key}` | {_type(field.annotation, field)} | {default} | {meaning} |")
    return [*lines, ""]


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return "{}"
    return "none" if value is None else json.dumps(value, default=list)


def _type(annotation: Any, field: FieldInfo | None = None) -> str:
    """In a reader's words, with its bounds."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        text = _type(inner[0])
    elif origin is Literal:
        text = ", ".join(
            f'`"{value}"`' if isinstance(value, str) else f"`{value}`" for value in inner
        )
    elif origin in (Union, types.UnionType):
        text = " or ".join(_type(one) for one in inner if one is not type(None))
    elif origin in (tuple, list):
        parts = [one for one in inner if one is not Ellipsis]
        fixed = len(parts) if Ellipsis not in inner else 0
        text = f"{fixed} of {_type(parts[0])}" if fixed else f"list of {_type(parts[0])}"
    elif origin is dict:
        text = f"table of {_type(inner[1])}"
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        text = "table"
    else:
        names = {str: "text", int: "whole number", float: "number", bool: "true or false"}
        text = names.get(annotation, getattr(annotation, "__name__", "text"))
    return text + (_bounds(field) if field is not None else "")


def _bounds(field: FieldInfo) -> str:
    signs = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
    found = [
        f"{word} {getattr(bound, sign)}"
        for bound in field.metadata
        for sign, word in signs.items()
        if getattr(bound, sign, None) is not None
    ]
    return f", {', '.join(found)}" if found else ""


def _tables_in(model: type[BaseModel], before: str) -> Iterator[tuple[str, type[BaseModel]]]:
    for name, field in model.model_fields.items():
        for inner in _models(field.annotation):
            key = f"{before}{field.alias or name}"
            yield key, inner
            yield from _tables_in(inner, f"{key}.")


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)


def _summary(model: type[BaseModel]) -> str:
    text = cleandoc(model.__doc__ or "").partition("\n\n")[0]
    return " ".join(text.split())


def _meanings(model: type[BaseModel]) -> dict[str, str]:
    """What the docstrings of a model and of those it is made from say of each attribute."""
    meanings: dict[str, str] = {}
    for kind in reversed(model.__mro__):
        if not (isinstance(kind, type) and issubclass(kind, BaseModel)) or kind is BaseModel:
            continue
        _, _, rest = cleandoc(kind.__doc__ or "").partition("Attributes:\n")
        for names, text in re.findall(r"^    (\w[\w, ]*): ((?:.|\n     +)*)", rest, re.MULTILINE):
            for name in names.split(", "):
                meanings[name] = " ".join(text.split())
    return meanings


def pages() -> dict[Path, str]:
    """All of them, by file."""
    made = {"python": python_page, "command_line": command_line_page, "formats": formats_page}
    return {
        DOCS / language / "reference" / f"{name}.md": make(words)
        for language, words in WORDS.items()
        for name, make in made.items()
    }


if __name__ == "__main__":
    write_pages(pages())
