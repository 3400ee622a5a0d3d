"""Weights of any public HRNet into a network of ours."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from hrnet.errors import WeightsError
from hrnet.network import HighResolutionNet
from hrnet.zoo.checkpoints import Checkpoint, read_checkpoint

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_COUNTERS = (*_FLOATS, torch.int64, torch.int32)  # net.half() casts those of batch norm too

# Every HRNet has it, once: what stands before it is the prefix of the whole network's names.
_ANCHOR = "transition1.0.0.weight"
_BODY = re.compile(r"(conv[12]|bn[12]|layer1|transition\d|stage\d)\.")
# Only networks that go on with all four branches compute the lower three of the last fusion.
_LOWER_FUSION = re.compile(r"stage4\.\d+\.fuse_layers\.[1-9]\.")


@dataclass(frozen=True)
class _Head:
    """What a network has after its stages, recognised by its names.

    Attributes:
        title: as in "it is a ...".
        pattern: what its names begin with.
        upsampling: of the networks that have it.
        names: pattern and replacement that make names of ours of its own; empty for the heads
            that do not give heatmaps.
        version: which head of ours it is.
        transposed: whether its last layer is a transposed convolution, 1x1: input channels first.
    """

    title: str
    pattern: str
    upsampling: str | None
    names: tuple[tuple[str, str], ...] = ()
    version: Literal["v1", "v2"] | None = None
    transposed: bool = False


# Nothing in a file but MMPose's settings tells whether its network aligned the corners when it
# upsampled, and of all these repositories only this one can.
_SEGMENTATION = "segmentation network"

# The more particular before the more general; names are without the network's prefix. Those that
# stand beside the backbone begin with head. or keypoint_head. (MMPose), or heads. (DeepLabCut).
_HEADS = (
    _Head(
        "network for faces or hands by MMPose",
        r"head\.conv_layers\.[01]\.",
        "bilinear",
        ((r"head\.conv_layers\.([01])\.", r"head.\1."), (r"head\.final_layer\.", "final_layer.")),
        "v2",
    ),
    _Head(
        "network for faces or hands by MMPose 0.x",
        r"keypoint_head\.final_layer\.\d\.",
        "bilinear",
        (
            (r"keypoint_head\.final_layer\.([01])\.", r"head.\1."),
            (r"keypoint_head\.final_layer\.3\.", "final_layer."),
        ),
        "v2",
    ),
    _Head(
        "network for faces by HRNet-Facial-Landmark-Detection",
        r"head\.3\.(weight|bias)$",
        "bilinear",
        ((r"head\.([01])\.", r"head.\1."), (r"head\.3\.", "final_layer.")),
        "v2",
    ),
    _Head("person detector by hrnet", r"head\.3\.[01]\.", "nearest"),
    _Head(
        "network for faces or hands by hrnet",
        r"head\.0\.(weight|bias)$",
        "bilinear",
        ((r"head\.([01])\.", r"head.\1."), (r"final_layer\.", "final_layer.")),
        "v2",
    ),
    _Head(
        "classification network",
        r"(incre_modules|downsamp_modules|classifier|fc)\.|final_layer\.[01]\.|head\.\d\.\d",
        "nearest",
    ),
    _Head(
        "DeepLabCut network",
        r"heads\.\w+\.heatmap_head\.deconv_layers\.0\.",
        "nearest",
        ((r"heads\.\w+\.heatmap_head\.deconv_layers\.0\.", "final_layer."),),
        "v1",
        transposed=True,
    ),
    _Head(_SEGMENTATION, r"last_layer\.", "bilinear"),
    _Head("HigherHRNet", r"(keypoint_head\.|head\.)?(final_layers|deconv_layers)\.", "nearest"),
    _Head(
        "pose network",
        r"((keypoint_)?head\.)?final_layer\.(weight|bias)$",
        "nearest",
        ((r"((keypoint_)?head\.)?final_layer\.", "final_layer."),),
        "v1",
    ),
)


@dataclass(frozen=True)
class LoadReport:
    """What `load_weights` did with a file.

    Attributes:
        file: path as given.
        kind: what the file's network was recognised as.
        loaded: names of the network's entries that were set.
        skipped: entries of the file that were left out, by name in the file, and why.
        missing: names of the network's entries that the file lacks; they stay as they were.
        upsampling: how the file's network fuses, and how that is known.
    """

    file: str
    kind: str
    loaded: tuple[str, ...]
    skipped: dict[str, str]
    missing: tuple[str, ...]
    upsampling: str

    def __str__(self) -> str:
        lines = [f"{self.file} ({self.kind}): {len(self.loaded)} entries loaded"]
        for reason in sorted(set(self.skipped.values())):
            keys = [key for key, why in self.skipped.items() if why == reason]
            lines.append(f"  {len(keys)} skipped, such as {keys[0]}: {reason}")
        if self.missing:
            lines.append(f"  {len(self.missing)} not in the file: {_listed(self.missing)}")
        lines.append(f"  upsampling: {self.upsampling}")
        return "\n".join(lines)


def load_weights(
    network: HighResolutionNet, file: str | Path, *, head: Literal["load", "skip"] = "load"
) -> LoadReport:
    """Load a public HRNet's weights into a network: all or nothing.

    The names may be those of the official repositories (pose, classification, faces,
    segmentation), HigherHRNet, MMPose 0.x and 1.x, timm, DeepLabCut or of this package, with any
    prefix, wrapped in a training program's checkpoint or not; pickled (read without running what
    is in it) or safetensors.

    Args:
        head: "skip" leaves the head as it is, for files without a pose head or with another
            number of joints.

    Raises:
        WeightsError: the file is missing, broken or not an HRNet's; an entry is missing, has
            another shape, or holds NaN or infinity; the file's network is known to fuse by the
            other way of upsampling; or it has no pose head and `head` is "load". The network is
            then as it was.
        ValueError: `head` is neither.
    """
    if head not in ("load", "skip"):
        raise ValueError(f"head is {head!r}; it must be 'load' or 'skip'")
    checkpoint = read_checkpoint(file)
    prefix, names = _without_prefix(checkpoint.tensors, file)
    kind = next((h for h in _HEADS if any(re.match(h.pattern, n) for n in names)), None)
    upsampling = _check_upsampling(network, checkpoint, kind, file)

    expected = network.state_dict()
    found: dict[str, Tensor] = {}
    skipped: dict[str, str] = {}
    strange: list[str] = []
    for name, key in names.items():
        target = _our_name(name, kind)
        if target in expected and not (head == "skip" and _is_head(target)):
            tensor = checkpoint.tensors[key]
            if kind is not None and kind.transposed and target == "final_layer.weight":
                tensor = tensor.transpose(0, 1) if tensor.ndim == 4 else tensor
            found[target] = tensor
        elif target is not None and _is_head(target) and head == "skip":
            skipped[key] = "the head, as asked"
        elif _LOWER_FUSION.match(name):
            skipped[key] = "fuses into branches that this network does not compute"
        elif _BODY.match(name):
            strange.append(key)
        else:
            is_head = kind is not None and re.match(kind.pattern, name)
            skipped[key] = f"head of a {kind.title}" if kind and is_head else "not a part of HRNet"
    for key in checkpoint.tensors.keys() - names.values():
        skipped[key] = f"not under {prefix}, where the network is"

    _check_width(network, found, file)
    missing = [name for name in expected if name not in found]
    _check_head(network, kind, found, head, file)
    _check_shapes(expected, found, file)
    needed = [
        name
        for name in missing
        if not name.endswith("num_batches_tracked") and not (head == "skip" and _is_head(name))
    ]
    if needed or strange:
        parts = [f"it lacks {_listed(needed)}"] if needed else []
        parts += [f"it has {_listed(strange)}, which the network has not"] if strange else []
        raise WeightsError(
            f"the network in {file} has another layout: {' and '.join(parts)}; give "
            "HighResolutionNet the arguments that it was made with"
        )
    for name, tensor in found.items():
        if not tensor.isfinite().all():  # of a training run that diverged
            raise WeightsError(f"{name} in {file} holds NaN or infinity; take other weights")

    network.load_state_dict({**expected, **found})
    return LoadReport(
        file=str(file),
        kind=kind.title if kind else "backbone without a head",
        loaded=tuple(found),
        skipped=skipped,
        missing=tuple(missing),
        upsampling=upsampling,
    )


def _without_prefix(tensors: dict[str, Tensor], file: str | Path) -> tuple[str, dict[str, str]]:
    """The network's prefix, and {name without it: key in the file}.

    MMPose has the head beside the backbone ("backbone.conv1.weight", "head.final_layer.weight"),
    DeepLabCut too ("backbone.model.conv1.weight", "heads.bodypart.heatmap_head. ...").
    """
    prefixes = [key.removesuffix(_ANCHOR) for key in tensors if key.endswith(_ANCHOR)]
    if not prefixes:
        raise WeightsError(
            f"{file} holds no HRNet: there is no {_ANCHOR}, but {_listed(list(tensors))}"
        )
    if len(prefixes) > 1:
        raise WeightsError(
            f"{file} holds {len(prefixes)} networks, {' and '.join(prefixes)}; save one alone"
        )
    prefix = prefixes[0]
    names = {key.removeprefix(prefix): key for key in tensors if key.startswith(prefix)}
    outer, backbone, _ = prefix.rpartition("backbone.")
    if backbone:
        for key in tensors:
            if key.startswith(
                tuple(outer + head for head in ("head.", "keypoint_head.", "heads."))
            ):
                names[key.removeprefix(outer)] = key
    return prefix, names


def _our_name(name: str, kind: _Head | None) -> str | None:
    """The name in our network of an entry, or None for one of a head that has no place in it."""
    if _BODY.match(name):
        return name
    for pattern, replacement in kind.names if kind else ():
        if re.match(pattern, name):
            return re.sub(pattern, replacement, name, count=1)
    return None


def _is_head(name: str) -> bool:
    return not _BODY.match(name)


def _check_upsampling(
    network: HighResolutionNet, checkpoint: Checkpoint, kind: _Head | None, file: str | Path
) -> str:
    """How the file's network fuses and how that is known, in words."""
    how, evidence = None, ""
    settings = re.search(r"upsample\s*=\s*dict\(([^)]*)\)", checkpoint.config)
    if settings is not None:
        how = "bilinear" if "bilinear" in settings[1] else "nearest"
        evidence = "by the settings in the file"
        if re.search(r"align_corners\s*=\s*True", settings[1]):
            raise WeightsError(
                f"the network in {file} upsamples with aligned corners, which this one cannot"
            )
    elif kind is not None and kind.upsampling is not None:
        how, evidence = kind.upsampling, f"as every {kind.title}"
    if how is None:
        assumed = "assumed nearest" if network.upsampling == "nearest" else "assumed bilinear"
        return f"unknown, {assumed}"
    # Face networks are started from classification networks although those fuse otherwise.
    start = kind is not None and kind.title == "classification network"
    if how != network.upsampling and not start:
        raise WeightsError(
            f"the network in {file} upsamples {how} ({evidence}) and this one "
            f"{network.upsampling}, so that its results would be wrong; make it with "
            f"HighResolutionNet(..., upsampling={how!r})"
        )
    corners = ", corners assumed not aligned" if kind and kind.title == _SEGMENTATION else ""
    return f"{how} ({evidence}{corners})"


def _check_width(network: HighResolutionNet, found: dict[str, Tensor], file: str | Path) -> None:
    theirs = len(found[_ANCHOR]) if found[_ANCHOR].ndim else 0
    ours = len(network.get_parameter(_ANCHOR))
    if theirs != ours:
        raise WeightsError(
            f"the network in {file} has {theirs} channels in its first branch and this one {ours}; "
            f"make it with HighResolutionNet({theirs})"
        )


def _check_head(
    network: HighResolutionNet,
    kind: _Head | None,
    found: dict[str, Tensor],
    head: str,
    file: str | Path,
) -> None:
    """Refuse a head that does not fit, with what to do about it."""
    if head == "skip":
        return
    if kind is None or kind.version is None:
        title = f"it is a {kind.title}" if kind else "it is a backbone alone"
        raise WeightsError(
            f"{file} has no pose head: {title}; head='skip' loads the rest and leaves the head"
        )
    ours = "v1" if network.head is None else "v2"
    if kind.version != ours:
        raise WeightsError(
            f"{file} has the head {kind.version!r} ({kind.title}) and this network {ours!r}; make "
            f"it with HighResolutionNet(..., head={kind.version!r})"
        )
    if "final_layer.weight" in found:
        weight = found["final_layer.weight"]
        theirs, joints = len(weight) if weight.ndim else 0, network.final_layer.out_channels
        if theirs != joints:
            raise WeightsError(
                f"{file} has heatmaps of {theirs} joints and this network {joints}; make it with "
                f"num_joints={theirs}, or leave the head as it is with head='skip'"
            )


def _check_shapes(expected: dict[str, Tensor], found: dict[str, Tensor], file: str | Path) -> None:
    wrong = [name for name in found if found[name].shape != expected[name].shape]
    if wrong:
        name = wrong[0]
        raise WeightsError(
            f"{len(wrong)} entries in {file} have other shapes than the network's, such as {name} "
            f"with {tuple(found[name].shape)}, not {tuple(expected[name].shape)}"
        )
    for name, tensor in found.items():
        plain = tensor.layout == torch.strided and tensor.device.type == "cpu"
        numbers = _FLOATS if expected[name].is_floating_point() else _COUNTERS
        if not plain or tensor.dtype not in numbers:
            raise WeightsError(
                f"{name} in {file} is a {tensor.layout} of {tensor.dtype} on {tensor.device}; save "
                "ordinary floating-point weights"
            )


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    rest = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + rest
