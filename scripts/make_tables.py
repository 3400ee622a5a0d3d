"""Write the tables of models and of recipes, from the cards and the recipes in the package, into
`models.md` and `recipes.md` of both languages.

    python scripts/make_tables.py

A table goes between marks in the page.
"""

from functools import cache
from pathlib import Path

from pages import between_marks, write_pages

from hrnet.training.recipe import list_recipes, load_stages
from hrnet.zoo import find_model, list_models
from hrnet.zoo.build import cost
from hrnet.zoo.card import ModelCard

DOCS = Path(__file__).parents[1] / "docs"
WORDS = {
    "en": {
        "models": "model | input | codec | parameters | multiply-adds | published | weights",
        "recipes": "recipe | data | input | codec | batch x devices | epochs | published",
        "packaged": "in the package",
        "file": "file",
        "by hand": "by hand",
        "steps": "steps",
        "nothing": "nothing",
    },
    "zh": {
        "models": "模型 | 输入 | 编码 | 参数量 | 乘加次数 | 公开指标 | 权重",
        "recipes": "配方 | 数据 | 输入 | 编码 | 批大小 x 设备数 | 轮数 | 公开指标",
        "packaged": "随包提供",
        "file": "文件",
        "by hand": "手动下载",
        "steps": "步",
        "nothing": "无",
    },
}


def header(columns: str) -> str:
    """Of a table."""
    return f"| {columns} |\n|{'---|' * (columns.count('|') + 1)}"


@cache  # the tables of both languages have it
def cost_of(name: str) -> tuple[int, int]:
    card = find_model(name).card
    return cost(card.network, len(card.skeleton), card.input_size)


def model_row(card: ModelCard, words: dict[str, str]) -> str:
    width, height = card.input_size
    parameters, multiply_adds = cost_of(card.name)
    figure = card.figures[0] if card.figures else None
    weights = card.weights
    assert weights is not None
    where = words["packaged"] if weights.packaged else f"[{words['file']}]({weights.url})"
    cells = (
        f"`{card.name}`",
        f"{height} x {width}",
        card.codec.kind,
        f"{parameters / 1e6:.1f} M",
        f"{multiply_adds / 1e9:.2f} G",
        f"{figure.metric} {figure.value:g}, {figure.data}" if figure else "",
        f"[{words['by hand']}]({weights.page})" if weights.page else where,
    )
    return f"| {' | '.join(cells)} |"


def cards_by_skeleton() -> dict[str, list[ModelCard]]:
    """All cards, those of COCO's keypoints first."""
    by_skeleton: dict[str, list[ModelCard]] = {"coco17": []}
    for name in list_models():
        card = find_model(name).card
        by_skeleton.setdefault(card.skeleton.name, []).append(card)
    return by_skeleton


def all_models(words: dict[str, str]) -> str:
    parts = []
    for skeleton, cards in cards_by_skeleton().items():
        rows = [model_row(card, words) for card in cards]
        title = f"## {skeleton}: {cards[0].skeleton.title}\n"
        parts.append("\n".join([title, header(words["models"]), *rows]))
    return "\n\n".join(parts)


def recipe_row(name: str, words: dict[str, str]) -> str:
    recipe = load_stages(name)[-1]
    training, (width, height) = recipe.training, recipe.model.input_size
    figures = [f"{f.metric} {f.value:g}, {f.protocol}" for f in recipe.published[:1]]
    cells = (
        f"`{name}`",
        find_model(name).card.trained_on,
        f"{height} x {width}",
        recipe.model.codec.kind,
        f"{training.batch_size} x {training.accumulate}",
        f"{training.epochs}" if training.epochs else f"{training.steps} {words['steps']}",
        *(figures or [words["nothing"]]),
    )
    return f"| {' | '.join(cells)} |"


def recipes(words: dict[str, str]) -> str:
    names = [name for name in list_recipes() if name in list_models()]
    rows = [recipe_row(name, words) for name in names]
    return "\n".join([header(words["recipes"]), *rows])


def pages() -> dict[Path, str]:
    """All pages that have such tables."""
    result = {}
    for language, words in WORDS.items():
        for what, content in (("models", all_models(words)), ("recipes", recipes(words))):
            page = DOCS / language / f"{what}.md"
            result[page] = between_marks(page.read_text(encoding="utf-8"), what, content)
    return result


if __name__ == "__main__":
    write_pages(pages())
