"""Measure and draw what the page "How HRNet works" shows.

    pip install matplotlib
    python scripts/make_network_figures.py

Writes docs/network_figures.json, docs/pictures/network, and the tables between the marks of
docs/en/how_hrnet_works.md and docs/zh/how_hrnet_works.md. Feature maps are those of the packaged
model on the package's sample photograph.
"""

import io
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from pages import between_marks, split_at_marks, write_pages
from torch import Tensor, nn

from hrnet.codec import HeatmapCodec
from hrnet.geometry import crop_matrices, crop_regions, warp
from hrnet.images import read_image
from hrnet.network import (
    STEM,
    Downsampling,
    HighResolutionNet,
    StageModule,
    Transition,
    Upsampling,
    network_parts,
)
from hrnet.zoo import find_model
from hrnet.zoo.build import create_model

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PICTURES = DOCS / "pictures" / "network"
FIGURES = DOCS / "network_figures.json"
SAMPLE = ROOT / "src" / "hrnet" / "samples" / "group.jpg"
# What the packaged detector finds in the sample, in whole pixels; the first one is shown.
PEOPLE = (
    (195, 230, 536, 682),
    (21, 240, 263, 616),
    (504, 256, 588, 467),
    (769, 289, 951, 613),
    (711, 283, 806, 497),
    (526, 298, 760, 695),
)
SIZE = 192, 256  # width and height of what a published network gets
MODEL = "`hrnet_w32_small_coco17`"
SURE = 0.3  # of a peak, to be counted where points are compared
CODECS = {kind: HeatmapCodec(kind) for kind in ("plain", "dark", "udp")}
JOINTS = ("nose", "left_elbow", "left_wrist", "right_hip", "left_ankle")  # that are drawn
COLOURS = {"plain": "#b3433b", "dark": "#2b6cb0", "udp": "#2f855a"}


# ---- The packaged model on the sample -----------------------------------------------------------


@cache
def model() -> Any:
    return create_model()


@cache
def crops() -> Tensor:
    """(6, 160, 128, 3) uint8: the sample's people as the packaged model gets them."""
    card = find_model(None).card
    regions = crop_regions(PEOPLE, card.input_size, card.padding)
    matrices = crop_matrices(*regions, card.input_size, unbiased=card.unbiased)
    image = read_image(SAMPLE)
    return torch.from_numpy(np.stack([warp(image, m, card.input_size) for m in matrices]))


def record(network: nn.Module, pictures: Tensor) -> dict[str, Any]:
    """What each module of a network gives for pictures, by the module's name."""
    outputs: dict[str, Any] = {}

    def keep(name: str, output: Any) -> None:
        # Copies, as ReLU works in place.
        outputs[name] = (
            output.clone() if isinstance(output, Tensor) else [y.clone() for y in output]
        )

    handles = [
        layer.register_forward_hook(lambda m, x, y, name=name: keep(name, y))
        for name, layer in network.named_modules()
    ]
    network(pictures)
    for handle in handles:
        handle.remove()
    return outputs


@cache
def seen() -> dict[str, Any]:
    """What each module of the packaged network gives for the first person."""
    with torch.no_grad():
        return record(model().network, model().normalise(crops()[:1]))


def decoded(heatmaps: Tensor) -> tuple[Tensor, Tensor]:
    """Points in cells and peaks of the packaged model's heatmaps."""
    points = model().codec.decode(heatmaps)
    return points[..., :2], points[..., 2]


# ---- Measurements -------------------------------------------------------------------------------


def parts() -> list[dict[str, Any]]:
    """Of HRNet-W32 at 256 x 192."""
    return [part._asdict() for part in network_parts((SIZE[1], SIZE[0]))]


def places(network: HighResolutionNet) -> dict[str, str]:
    """Where receptive fields are measured, by the name of the module: before each stage's last
    exchange, on every branch."""
    found = {"stem": "relu", "layer1": "layer1"}
    for name in ("stage2", "stage3", "stage4"):
        stage = getattr(network, name)
        last = len(stage) - 1
        for branch in range(len(stage[last].branches)):
            found[f"{name}, branch {branch}"] = f"{name}.{last}.branches.{branch}"
    return found | {"heatmaps": "final_layer"}


def gradient(output: Tensor, pictures: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """|d centre cell / d picture|, (H, W) summed over colours and pictures; and the cell's y, x."""
    y, x = (n // 2 for n in output.shape[-2:])
    (g,) = torch.autograd.grad(output[..., y, x].sum(), pictures, retain_graph=True)
    return g.abs().sum(dim=(0, 1)), (y, x)


def theoretical_fields(**arguments: Any) -> dict[str, int]:
    """How many pixels from left to right the centre cell of each place depends on.

    All weights are random and positive, so that nothing cancels out; widths do not matter, so they
    are small, and neither does the height. Float64, as the outermost gradients are tiny.
    """
    generator = torch.Generator().manual_seed(0)
    arguments |= {"base_channel": 2, "layer1_channels": 8}
    network = HighResolutionNet(**arguments).double().eval()
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            positive = torch.rand(layer.weight.shape, generator=generator) + 0.5
            layer.weight.data = positive.double() / layer.weight[0].numel()
    pictures = torch.ones(1, 3, 32, 4096, dtype=torch.float64, requires_grad=True)
    outputs = record(network, pictures)
    fields = {}
    for place, name in places(network).items():
        columns = gradient(outputs[name], pictures)[0].sum(dim=0).nonzero().flatten()
        first, last = int(columns[0]), int(columns[-1])
        assert 0 < first <= last < pictures.shape[-1] - 1, "the picture is too narrow"
        fields[place] = last - first + 1
    return fields


@cache
def effective_gradients() -> dict[str, tuple[Tensor, tuple[int, int]]]:
    """The packaged model's by place, (160, 128) with sum 1, of the sample's six people; and which
    pixel, y and x, the cell is centred on."""
    pictures = model().normalise(crops()).requires_grad_()
    outputs = record(model().network, pictures)
    fields = {}
    for place, name in places(model().network).items():
        g, (y, x) = gradient(outputs[name], pictures)
        stride = pictures.shape[-2] // outputs[name].shape[-2]
        fields[place] = g / g.sum(), (y * stride, x * stride)
    return fields


def side_that_holds(share: float, field: Tensor, centre: tuple[int, int]) -> int:
    """Pixels: the side of the smallest square about the centre with that share of a gradient."""
    y, x = centre
    for reach in range(max(field.shape)):
        inside = field[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1]
        if inside.sum() >= share:
            return 2 * reach + 1
    raise AssertionError("the gradient's sum is 1")


def receptive_fields() -> dict[str, dict[str, int]]:
    card = find_model(None).card.network
    w32 = theoretical_fields()
    packaged = theoretical_fields(**card.model_dump(exclude={"base_channel", "layer1_channels"}))
    return {
        place: {
            "w32": w32[place],
            "packaged": packaged[place],
            "half": side_that_holds(0.5, *effective),
            "nine_tenths": side_that_holds(0.9, *effective),
        }
        for place, effective in effective_gradients().items()
    }


def terms() -> list[dict[str, float]]:
    """What each branch adds to branch 0 in the packaged model's last exchange, of the sample's six
    people: the term's share of all terms' mean absolute values, and by how many cells the points
    move in the median when it is left out."""
    network = model().network
    fuse = network.stage4[-1].fuse_layers[0]
    pictures = model().normalise(crops())

    def points() -> tuple[Tensor, Tensor]:
        return decoded(model().activate(network(pictures)))

    with torch.no_grad():
        outputs = record(network, pictures)
        name = f"stage4.{len(network.stage4) - 1}.fuse_layers.0"
        sizes = [outputs[f"{name}.{branch}"].abs().mean() for branch in range(len(fuse))]
        whole, sure = points()
        rows = []
        for branch, size in enumerate(sizes):
            handle = fuse[branch].register_forward_hook(lambda m, x, y: torch.zeros_like(y))
            distances = (points()[0] - whole).norm(dim=-1)[sure > SURE]
            handle.remove()
            rows.append({"share": float(size / sum(sizes)), "moved": float(distances.median())})
    return rows


def random_points(count: int = 4000) -> Tensor:
    """(count, 1, 2) x, y in crop pixels, far enough from the border for whole Gaussians."""
    generator = torch.Generator().manual_seed(0)
    margin = 32
    inside = torch.tensor(SIZE) - 1 - 2 * margin
    return margin + torch.rand(count, 1, 2, generator=generator) * inside


def encoded(codec: HeatmapCodec, points: Tensor) -> Tensor:
    return codec.encode(points, torch.ones(points.shape[:-1], dtype=torch.bool), SIZE)[0]


def round_trip(target: HeatmapCodec, decoder: HeatmapCodec, points: Tensor) -> Tensor:
    """(count, 2) decoded minus true, in cells."""
    heatmaps = encoded(target, points)
    true = points / points.new_tensor(target.cell_size(SIZE))
    return (decoder.decode(heatmaps)[..., :2] - true)[:, 0]


# Of a codec's own targets, and of targets that keep the true centre with the plain decoder.
TRIPS = {
    "plain": ("plain", "plain"),
    "plain decoder, true centre": ("dark", "plain"),
    "dark": ("dark", "dark"),
    "udp": ("udp", "udp"),
}


def codec_errors() -> dict[str, dict[str, float]]:
    rows = {}
    for name, (target, decoder) in TRIPS.items():
        distances = round_trip(CODECS[target], CODECS[decoder], random_points()).norm(dim=-1)
        rows[name] = {"mean": float(distances.mean()), "largest": float(distances.max())}
    return rows


def shifted(heatmaps: Tensor) -> Tensor:
    """One cell to the right; column 0 stays."""
    return torch.cat([heatmaps[..., :1], heatmaps[..., :-1]], dim=-1)


def flip_errors() -> dict[str, dict[str, float]]:
    """How far to the right of the truth, in cells and in the mean, perfect heatmaps of the mirrored
    crop lie, and the point from the mean of both, without and with the shift."""
    points = random_points()
    mirrored_points = points.clone()
    mirrored_points[..., 0] = SIZE[0] - 1 - points[..., 0]
    rows = {}
    for kind, codec in CODECS.items():
        direct, mirrored = encoded(codec, points), encoded(codec, mirrored_points).flip(3)
        true = points[:, 0, 0] / codec.cell_size(SIZE)[0]

        def right(heatmaps: Tensor, codec: HeatmapCodec = codec, true: Tensor = true) -> float:
            return float((codec.decode(heatmaps)[:, 0, 0] - true).mean())

        rows[kind] = {
            "mirrored": right(mirrored),
            "without": right((direct + mirrored) / 2),
            "with": right((direct + shifted(mirrored)) / 2),
        }
    return rows


def packaged_flip() -> dict[str, float]:
    """The same of the packaged model (UDP, which wants no shift), of the sample's six people,
    against its points without a flip test."""
    network = model()
    with torch.no_grad():
        images = network.normalise(crops())
        direct = network.activate(network.network(images))
        mirrored = network.activate(network.network(images.flip(3))).flip(3)[:, network.flip_order]
    whole, sure = decoded(direct)
    keep = (sure > SURE) & (decoded(mirrored)[1] > SURE)

    def right(heatmaps: Tensor) -> Tensor:
        return (decoded(heatmaps)[0] - whole)[..., 0][keep]

    return {
        "joints": int(keep.sum()),
        "mirrored": float(right(mirrored).median()),
        "without": float(right((direct + mirrored) / 2).median()),
        "with": float(right((direct + shifted(mirrored)) / 2).median()),
    }


def measure() -> dict[str, Any]:
    """All figures that the pages quote; lengths are in cells."""
    figures = {
        "parts": parts(),
        "receptive_fields": receptive_fields(),
        "terms": terms(),
        "codecs": codec_errors(),
        "flip": flip_errors(),
        "packaged_flip": packaged_flip(),
    }
    return json.loads(json.dumps(figures), parse_float=lambda text: round(float(text), 5) + 0.0)


# ---- The network, drawn from its modules --------------------------------------------------------

GREY, DOWN, UP, INK = "#8a8f98", "#1f6fb5", "#c8620a", "#1b1f24"
WIDTH, LANE, TOP = 736, 88, 86  # pixels; between branches; of branch 0
HEIGHTS = 60, 50, 40, 32  # of a branch's boxes
BOX, EXCHANGE, STEP = 30, 34, 14


class Drawing:
    """An SVG under construction."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.nodes: list[str] = []  # above the lines

    def text(self, x: float, y: float, words: str, anchor: str = "middle", bold: str = "") -> None:
        weight = f' font-weight="{bold}"' if bold else ""
        self.nodes.append(
            f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}"{weight}>{words}</text>'
        )

    def box(self, x: float, lane: int, words: tuple[str, ...], width: float = BOX) -> None:
        height, middle = HEIGHTS[lane], TOP + LANE * lane
        self.nodes.append(
            f'<rect x="{x:g}" y="{middle - height / 2:g}" width="{width:g}" height="{height}" '
            f'rx="4" fill="#e8eef6" stroke="{INK}"/>'
        )
        for i, word in enumerate(words):
            self.text(x + width / 2, middle + 4 + 13 * (i - (len(words) - 1) / 2), word)

    def line(self, x: float, lane: int, to_x: float, to_lane: int, colour: str = GREY) -> None:
        y, to_y = TOP + LANE * lane, TOP + LANE * to_lane
        self.lines.append(
            f'<path d="M{x:g} {y:g}L{to_x:g} {to_y:g}" stroke="{colour}" stroke-width="1.5"/>'
        )

    def sum(self, x: float, lane: int) -> None:
        self.nodes.append(
            f'<circle cx="{x:g}" cy="{TOP + LANE * lane}" r="4" fill="#fff" stroke="{INK}"/>'
        )


def colour_of(layer: nn.Module) -> str:
    """Of what a transition or a fuse layer does to the resolution."""
    if isinstance(layer, Upsampling):
        return UP
    strides = [m.stride[0] for m in layer.modules() if isinstance(m, nn.Conv2d)]
    return DOWN if isinstance(layer, Downsampling) or 2 in strides else GREY


def network_svg() -> str:
    """HRNet-W32 for 17 joints: every lane, box and line from the tree of modules."""
    network = HighResolutionNet(32, 17).eval()
    with torch.no_grad():
        outputs = record(network, torch.zeros(1, 3, SIZE[1], SIZE[0]))
    drawing = Drawing()
    x, lanes = 12.0, 1
    drawing.box(x, 0, ("stem", str(outputs["relu"].shape[1])), 36)
    drawing.line(x, 0, x + 60, 0)
    x += 36 + STEP
    for name, child in network.named_children():
        if name in STEM:
            continue
        if isinstance(child, Transition):
            for target, layer in enumerate(child):
                drawing.line(x, min(target, lanes - 1), x + STEP + 8, target, colour_of(layer))
            lanes = len(child)
            x += STEP + 8
        elif isinstance(child[0] if isinstance(child, nn.Sequential) else child, StageModule):
            middle = x + len(child) * (BOX + EXCHANGE) / 2 - 4
            modules = "1 module" if len(child) == 1 else f"{len(child)} modules"
            drawing.text(middle, 24, name, bold="bold")
            drawing.text(middle, 40, modules)
            for module in child:
                for lane, blocks in enumerate(module.branches):
                    channels = blocks[0].conv1.out_channels
                    drawing.box(x, lane, (str(channels), f"x {len(blocks)}"))
                for target, layers in enumerate(module.fuse_layers):
                    for source, layer in enumerate(layers):
                        start, end = x + BOX, x + BOX + EXCHANGE - 8
                        drawing.line(start, source, end, target, colour_of(layer))
                    drawing.sum(x + BOX + EXCHANGE - 8, target)
                    drawing.line(x + BOX + EXCHANGE - 8, target, x + BOX + EXCHANGE, target)
                x += BOX + EXCHANGE
            lanes = len(module.fuse_layers)
        elif isinstance(child, nn.Sequential):  # layer1
            drawing.box(x, 0, (name, str(outputs[name].shape[1]), f"x {len(child)}"), 42)
            x += 42
        else:  # the final layer
            drawing.line(x, 0, x + 12, 0)
            drawing.box(x + 4, 0, ("final", "layer", str(child.out_channels)), 36)
            x += 40
    last = f"stage4.{len(network.stage4) - 1}.branches"
    for lane in range(len(network.stage4[-1].branches)):
        height, width = outputs[f"{last}.{lane}"].shape[-2:]
        y = TOP + LANE * lane + (HEIGHTS[0] / 2 + 16 if lane == 0 else 4)
        drawing.text(12, y, f"1/{SIZE[1] // height}: {height} x {width}", "start")
    bottom = TOP + LANE * 3 + 42
    legend = (
        (GREY, "as it is, or a 3x3 convolution of stride 1"),
        (DOWN, "3x3 convolutions of stride 2, one for each halving"),
        (UP, "1x1 convolution, then enlarged"),
    )
    for i, (colour, words) in enumerate(legend):
        y = bottom + 17 * i
        drawing.lines.append(f'<path d="M12 {y}h26" stroke="{colour}" stroke-width="2.5"/>')
        drawing.text(46, y + 4, words, "start")
    drawing.text(400, bottom + 4, "box: residual blocks, with channels x number", "start")
    drawing.nodes.append(f'<circle cx="406" cy="{bottom + 17}" r="4" fill="#fff" stroke="{INK}"/>')
    drawing.text(416, bottom + 21, "sum of what comes in, then ReLU", "start")
    height = bottom + 52
    assert x <= WIDTH - 8, f"the network is {x} wide"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
            f'width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="11.5" '
            f'fill="{INK}">',
            "<title>HRNet-W32: branches, stages and exchanges</title>",
            f'<rect width="{WIDTH}" height="{height}" rx="8" fill="#fff"/>',
            *drawing.lines,
            *drawing.nodes,
            "</svg>\n",
        ]
    )


# ---- Pictures -----------------------------------------------------------------------------------


def new_figure(width: float, height: float) -> Figure:
    return Figure(figsize=(width, height), layout="constrained")


def bare(axes: Axes, title: str = "") -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(title, fontsize=9)


def strongest(maps: Tensor, count: int) -> list[int]:
    """The channels that differ most from place to place."""
    return maps.flatten(1).std(dim=1).argsort(descending=True)[:count].tolist()


def shape_of(maps: Tensor) -> str:
    return " x ".join(map(str, maps.shape))


def stem_picture() -> Figure:
    """The crop, then channels of the stem's and of layer1's output."""
    figure = new_figure(7.2, 4.2)
    grid = figure.subplots(2, 5)
    for row, (name, title) in enumerate((("relu", "stem"), ("layer1", "layer1"))):
        maps = seen()[name][0]
        for axes, channel in zip(grid[row, 1:], strongest(maps, 4), strict=True):
            axes.imshow(maps[channel])
            bare(axes, f"{title}, channel {channel}")
    grid[0, 0].imshow(crops()[0])
    bare(grid[0, 0], "the crop")
    grid[1, 0].imshow(seen()["layer1"][0].mean(dim=0))
    bare(grid[1, 0], "layer1, mean of all")
    return figure


def transition_picture() -> Figure:
    """Each branch after transition1."""
    figure = new_figure(7.2, 4.2)
    for row, maps in enumerate(seen()["transition1"]):
        for column, channel in enumerate(strongest(maps[0], 5)):
            axes = figure.add_subplot(2, 5, 5 * row + column + 1)
            axes.imshow(maps[0, channel])
            bare(axes, f"channel {channel}")
            if column == 0:
                axes.set_ylabel(f"branch {row}\n{shape_of(maps[0])}", fontsize=9)
    return figure


def exchange_picture() -> Figure:
    """Each branch before and after stage 3's exchange, the same channels."""
    figure = new_figure(7.2, 5.6)
    for row, after in enumerate(seen()["stage3.0"]):
        before = seen()[f"stage3.0.branches.{row}"][0]
        channels = strongest(after[0], 3)
        for column, (maps, channel) in enumerate(
            [(m, c) for m in (before, after[0]) for c in channels]
        ):
            axes = figure.add_subplot(3, 6, 6 * row + column + 1)
            axes.imshow(maps[channel])
            when = "before" if column < 3 else "after"
            bare(axes, f"{when}, {channel}")
            if column == 0:
                axes.set_ylabel(f"branch {row}\n{shape_of(before)}", fontsize=9)
    return figure


def sum_picture() -> Figure:
    """The terms of stage 4's sum into branch 0, and the sum."""
    added = torch.cat([seen()[f"stage4.0.fuse_layers.0.{branch}"] for branch in range(4)])
    figure = new_figure(7.2, 5.6)
    for row, channel in enumerate(strongest(added.sum(dim=0), 3)):
        maps = [*added[:, channel], added[:, channel].sum(dim=0)]
        limit = max(float(m.abs().max()) for m in maps)
        for column, m in enumerate(maps):
            axes = figure.add_subplot(3, 5, 5 * row + column + 1)
            axes.imshow(m, cmap="RdBu_r", vmin=-limit, vmax=limit)
            name = f"from branch {column}" if column < 4 else "sum, before ReLU"
            bare(axes, name if row == 0 else "")
            if column == 0:
                axes.set_ylabel(f"channel {channel}", fontsize=9)
    return figure


def heatmaps_picture() -> Figure:
    """Heatmaps of six joints over the crop, and the points."""
    skeleton = find_model(None).card.skeleton
    heatmaps = model().activate(seen()["final_layer"])[0]
    points, peaks = decoded(heatmaps[None])
    cell = model().codec.cell_size((128, 160))
    x, y = (points[0] * torch.tensor(cell)).unbind(dim=-1)
    joints = [skeleton.keypoints.index(name) for name in JOINTS]
    figure = new_figure(7.2, 2.0)
    grid = figure.subplots(1, len(joints) + 1)
    for axes, joint in zip(grid, joints, strict=False):
        axes.imshow(crops()[0].float().mean(dim=-1), cmap="gray", vmax=400)
        shown = heatmaps[joint].clamp(0, 1)
        area = (-cell[0] / 2, 127 + cell[0] / 2, 159 + cell[1] / 2, -cell[1] / 2)
        axes.imshow(shown, extent=area, cmap="plasma", alpha=shown.sqrt(), vmin=0, vmax=1)
        axes.set_xlim(-0.5, 127.5)
        axes.set_ylim(159.5, -0.5)
        bare(axes, f"{skeleton.keypoints[joint]}\n{float(peaks[0, joint]):.2f}".replace("_", " "))
    grid[-1].imshow(crops()[0])
    grid[-1].scatter(x, y, s=14, color="#ffd400", edgecolor="black", linewidth=0.5)
    bare(grid[-1], "all points\n")
    return figure


def fields_picture() -> Figure:
    """Effective receptive fields of stage 4's branches and of the heatmaps."""
    chosen = [f"stage4, branch {b}" for b in range(4)] + ["heatmaps"]
    figure = new_figure(7.2, 2.5)
    for axes, place in zip(figure.subplots(1, 5), chosen, strict=True):
        field, (y, x) = effective_gradients()[place]
        in_cells = nn.functional.avg_pool2d(field[None], 4)[0]
        axes.imshow(in_cells, cmap="magma", extent=(-0.5, 127.5, 159.5, -0.5))
        for share, style in ((0.5, "-"), (0.9, "--")):
            side = side_that_holds(share, field, (y, x))
            corner = (x - side / 2, y - side / 2)
            axes.add_patch(Rectangle(corner, side, side, fill=False, color="white", ls=style))
        axes.set_xlim(-0.5, 127.5)
        axes.set_ylim(159.5, -0.5)
        bare(axes, place)
    return figure


def codecs_picture() -> Figure:
    """Targets of one joint, and the errors of decoding what was encoded."""
    figure = new_figure(7.2, 5.4)
    ((one, two), (curve, histogram)) = figure.subplots(2, 2)
    point = torch.tensor([[[81.6, 101.2]]])
    for axes, kind in ((one, "plain"), (two, "dark")):
        x, y = (point[0, 0] / 4).tolist()
        axes.imshow(encoded(CODECS[kind], point)[0, 0], cmap="Greys")
        axes.plot(x, y, "+", color="#d00", markersize=12, markeredgewidth=2, label="the joint")
        peak = (round(x), round(y)) if kind == "plain" else (x, y)
        axes.plot(*peak, "o", color="#08c", markerfacecolor="none", label="centre of the target")
        axes.set_xlim(14.5, 26.5)
        axes.set_ylim(31.5, 19.5)
        axes.set_title(f"target of {'dark and udp' if kind == 'dark' else kind}", fontsize=9)
        axes.legend(fontsize=8, loc="upper left")
    places = torch.linspace(20, 22, 201)
    cells = torch.stack([places, torch.full_like(places, 25.0)], dim=-1)[:, None]
    styles = {"plain decoder, true centre": "#d69e2e"} | COLOURS
    for name, (target, decoder) in TRIPS.items():
        points = cells * cells.new_tensor(CODECS[target].cell_size(SIZE))
        error = round_trip(CODECS[target], CODECS[decoder], points)[:, 0]
        line = "--" if name == "udp" else "-"
        curve.plot(places, error, line, color=styles[name], label=name)
        distances = round_trip(CODECS[target], CODECS[decoder], random_points()).norm(dim=-1)
        histogram.hist(distances, bins=np.logspace(-6, 0, 49), color=styles[name], alpha=0.6)
    curve.set_xlabel("where the joint is, cells", fontsize=9)
    curve.set_ylabel("decoded minus true, cells", fontsize=9)
    curve.set_ylim(-0.6, 1.5)
    curve.legend(fontsize=8, loc="upper right")
    histogram.set_xscale("log")
    histogram.set_xlabel("distance from the truth, cells", fontsize=9)
    histogram.set_ylabel("of 4,000 random points", fontsize=9)
    for axes in (curve, histogram):
        axes.grid(alpha=0.3)
    return figure


def flip_picture() -> Figure:
    """The two heatmaps of a flip test in profile, without and with the shift, and UDP's."""
    point = torch.tensor([[[86.0, 101.2]]])
    mirrored_point = torch.tensor([[[SIZE[0] - 1 - 86.0, 101.2]]])
    cases = (
        ("dark", False, "dark, no shift"),
        ("dark", True, "dark, shifted one cell"),
        ("udp", False, "udp, no shift"),
    )
    figure = new_figure(7.2, 2.6)
    for axes, (kind, shift, title) in zip(figure.subplots(1, 3, sharey=True), cases, strict=True):
        codec = CODECS[kind]
        direct, mirrored = encoded(codec, point), encoded(codec, mirrored_point).flip(3)
        mirrored = shifted(mirrored) if shift else mirrored
        row = int(direct[0, 0].amax(dim=1).argmax())
        axes.plot(direct[0, 0, row], "o-", markersize=4, color=COLOURS["dark"], label="direct")
        axes.plot(mirrored[0, 0, row], "s--", markersize=4, color="#c8620a", label="mirrored")
        axes.axvline(86.0 / codec.cell_size(SIZE)[0], color="#888", linewidth=1)
        axes.set_xlim(14, 29)
        axes.set_title(title, fontsize=9)
        axes.set_xlabel("cell", fontsize=9)
        axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="upper right")
    return figure


def crop_picture() -> Figure:
    """A box of 8 pixels becomes a crop of 16 and a heatmap of 4, in both conventions."""
    figure = new_figure(7.2, 3.6)
    size = 16, 16
    for axes, kind in zip(figure.subplots(2, 1), ("plain", "udp"), strict=True):
        unbiased = kind == "udp"
        matrix = crop_matrices([[4, 4]], [[8, 8]], size, unbiased=unbiased)[0]
        left, right = (matrix[0, 0] * x + matrix[0, 2] for x in (0, 8))
        for pixel in range(16):
            axes.add_patch(Rectangle((pixel - 0.5, 0), 1, 1, fill=False, color="#9aa3ad"))
            axes.plot(pixel, 0.5, ".", color="#555", markersize=4)
        cells = np.arange(4) * HeatmapCodec(kind).cell_size(size)[0]
        axes.plot(cells, np.full(4, -0.6), "o", color=COLOURS["dark"], markersize=9)
        axes.plot(15 - cells, np.full(4, -1.3), "s", color="#c8620a", markersize=8)
        axes.plot([left, right], [1.5, 1.5], "|-", color="#b3433b", markersize=14)
        words = f"the box: {left:g} to {right:g}"
        axes.text((left + right) / 2, 1.8, words, ha="center", fontsize=9, color="#b3433b")
        for y, label in ((0.5, "crop pixels"), (-0.6, "cells"), (-1.3, "cells, mirrored")):
            axes.text(-1.0, y, label, ha="right", va="center", fontsize=9)
        axes.set_xlim(-5.2, 17)
        axes.set_ylim(-1.8, 2.5)
        axes.set_title("unbiased (udp)" if unbiased else "biased (plain, dark)", fontsize=10)
        axes.set_aspect("equal")
        axes.axis("off")
    return figure


DRAWINGS: dict[str, Callable[[], Figure]] = {
    "stem": stem_picture,
    "transition": transition_picture,
    "exchange": exchange_picture,
    "sum": sum_picture,
    "heatmaps": heatmaps_picture,
    "receptive_fields": fields_picture,
    "codecs": codecs_picture,
    "flip": flip_picture,
    "crop": crop_picture,
}


def png(figure: Figure) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=110, metadata={"Software": None})
    return stream.getvalue()


# ---- The pages' tables --------------------------------------------------------------------------


def table(header: str, rows: list[list[str]]) -> str:
    columns = header.count("|") - 1
    return "\n".join([header, "|---" * columns + "|", *(f"| {' | '.join(r)} |" for r in rows)])


def tables(figures: dict[str, Any]) -> dict[str, list[list[str]]]:
    """The rows of each table; the headers are the pages'."""
    rows = [
        [
            part["name"],
            ", ".join(" x ".join(map(str, shape)) for shape in part["shapes"]),
            f"{part['parameters']:,}",
            f"{part['multiply_adds']:,}",
        ]
        for part in figures["parts"]
    ]
    sums = [
        f"**{sum(p[key] for p in figures['parts']):,}**" for key in ("parameters", "multiply_adds")
    ]
    return {
        "parts": [*rows, ["", "", *sums]],
        "fields": [
            [place, *(str(field[key]) for key in ("w32", "packaged", "half", "nine_tenths"))]
            for place, field in figures["receptive_fields"].items()
        ],
        "terms": [
            [str(branch), f"{100 * row['share']:.0f} %", f"{row['moved']:.2f}"]
            for branch, row in enumerate(figures["terms"])
        ],
        "codecs": [
            [name, f"{row['mean']:.4f}", f"{row['largest']:.4f}"]
            for name, row in figures["codecs"].items()
        ],
        "flip": [
            [kind, *(f"{row[key]:+.3f}" for key in ("mirrored", "without", "with"))]
            for kind, row in [*figures["flip"].items(), (MODEL, figures["packaged_flip"])]
        ],
    }


def with_tables(page: str, figures: dict[str, Any]) -> str:
    """A page with the rows of its tables between their marks; a table's first line, the header, is
    the page's own."""
    for name, rows in tables(figures).items():
        _, old, _ = split_at_marks(page, name)
        page = between_marks(page, name, table(old.splitlines()[0], rows))
    return page


PAGES = [DOCS / language / "how_hrnet_works.md" for language in ("en", "zh")]


def main() -> None:
    torch.set_num_threads(1)
    figures = measure()
    texts = {FIGURES: json.dumps(figures, indent=1) + "\n", PICTURES / "network.svg": network_svg()}
    texts |= {page: with_tables(page.read_text(encoding="utf-8"), figures) for page in PAGES}
    write_pages(texts)
    for name, draw in DRAWINGS.items():
        (PICTURES / f"{name}.png").write_bytes(png(draw()))


if __name__ == "__main__":
    main()
