"""Writes the tables of models from their cards: the whole one into docs/models.md, and that of
COCO's keypoints into README.md and README.zh-CN.md.

    python scripts/make_model_tables.py
"""

from pathlib import Path

from hrnet.files import atomic_write
from hrnet.zoo import find_model, list_models
from hrnet.zoo.build import cost
from hrnet.zoo.card import ModelCard

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- models: begin -->", "<!-- models: end -->"
HEADER = """\
| model | input | codec | parameters | multiply-adds | published | weights |
|---|---|---|---|---|---|---|"""


def row(card: ModelCard) -> str:
    width, height = card.input_size
    parameters, multiply_adds = cost(card.network, len(card.skeleton), card.input_size)
    figure = card.figures[0] if card.figures else None
    weights = card.weights
    assert weights is not None
    where = "in the package" if weights.packaged else f"[file]({weights.url})"
    return (
        " | ".join(
            (
                f"| `{card.name}`",
                f"{height} x {width}",
                card.codec.kind,
                f"{parameters / 1e6:.1f} M",
                f"{multiply_adds / 1e9:.2f} G",
                f"{figure.metric} {figure.value:g}, {figure.data}" if figure else "",
                f"[by hand]({weights.page})" if weights.page else where,
            )
        )
        + " |"
    )


def tables() -> dict[str, list[ModelCard]]:
    """All cards by skeleton, that of COCO first."""
    by_skeleton: dict[str, list[ModelCard]] = {"coco17": []}
    for name in list_models():
        card = find_model(name).card
        by_skeleton.setdefault(card.skeleton.name, []).append(card)
    return by_skeleton


def models_page() -> str:
    lines = [
        "# Models",
        "",
        "All models that there are cards for. `hrnet models show NAME` says more of each: points,",
        "codec, flip rule, all published figures with their protocol, licence. Weights are fetched",
        "on first use or by `hrnet models download NAME`; those marked *by hand* have only share",
        "links. Input is height x width; the published figure is the first of the card.",
        "",
        "This page is written by `python scripts/make_model_tables.py`.",
    ]
    for skeleton, cards in tables().items():
        lines += ["", f"## {skeleton}: {cards[0].skeleton.title}", "", HEADER, *map(row, cards)]
    return "\n".join(lines) + "\n"


def with_table(readme: str) -> str:
    """The README with the table of the models measured on COCO between its marks."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    cards = [c for c in tables()["coco17"] if c.figures and c.figures[0].data == "COCO val2017"]
    table = "\n".join([HEADER, *map(row, cards)])
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def pages() -> dict[str, str]:
    """All pages that have tables, by their path in the repository."""
    result = {"docs/models.md": models_page()}
    for name in ("README.md", "README.zh-CN.md"):
        result[name] = with_table((ROOT / name).read_text(encoding="utf-8"))
    return result


def main() -> None:
    for name, text in pages().items():
        with atomic_write(ROOT / name) as temporary:
            temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
