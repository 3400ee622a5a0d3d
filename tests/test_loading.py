"""Every public scheme of names loads and computes what the network that it was made from did.

Names, shapes and outputs come from the public implementations themselves, see
golden/make_checkpoints.py; the weights of both sides follow golden/rule.py.
"""

import numpy as np
import pytest
import torch
from key_lists import CHECKPOINTS, read_keys
from rule import picture, tensor
from safetensors.torch import save_file

from hrnet import HighResolutionNet, WeightsError, load_weights
from hrnet.network import Upsampling

GOLDEN = np.load(CHECKPOINTS.with_suffix(".npz"))
STEP = 8  # of the rows and columns that are kept

SCHEMES = [
    # scheme, arguments of the network, whether it has a pose head of ours, what it is taken for,
    # upsampling as the report has it, entries that are left out
    ("official_w32", {}, True, "pose network", "nearest (as every pose network)", 0),
    (
        "official_w48_training",
        {"base_channel": 48, "num_joints": 16},
        True,
        "pose network",
        "nearest (as every pose network)",
        0,
    ),
    ("simple_hrnet_w32", {}, True, "pose network", "nearest (as every pose network)", 0),
    ("mmpose1_w32", {}, True, "pose network", "nearest (as every pose network)", 0),
    ("mmpose0_w32", {}, True, "pose network", "nearest (as every pose network)", 0),
    (
        "mmpose1_w18_wflw",
        {"base_channel": 18, "num_joints": 98, "head": "v2", "upsampling": "bilinear"},
        True,
        "network for faces or hands by MMPose",
        "bilinear (as every network for faces or hands by MMPose)",
        0,
    ),
    (
        "mmpose0_w18_onehand10k",
        {"base_channel": 18, "num_joints": 21, "head": "v2", "upsampling": "bilinear"},
        True,
        "network for faces or hands by MMPose 0.x",
        "bilinear (as every network for faces or hands by MMPose 0.x)",
        0,
    ),
    (
        "facial_w18_wflw",
        {"base_channel": 18, "num_joints": 98, "head": "v2", "upsampling": "bilinear"},
        True,
        "network for faces by HRNet-Facial-Landmark-Detection",
        "bilinear (as every network for faces by HRNet-Facial-Landmark-Detection)",
        0,
    ),
    # 54 entries fuse into the three lower branches, which a pose network does not compute; the
    # others are heads: increase 4 x 24, decrease 3 x 7, final layer 7, classifier 2.
    (
        "classification_w32",
        {},
        False,
        "classification network",
        "nearest (as every classification network)",
        None,
    ),
    (
        "classification_w18",
        {"base_channel": 18},
        False,
        "classification network",
        "nearest (as every classification network)",
        None,
    ),
    (
        "timm_w18",
        {"base_channel": 18},
        False,
        "classification network",
        "nearest (as every classification network)",
        None,
    ),
    ("timm_w32_features", {}, False, "backbone without a head", "unknown, assumed nearest", None),
    (
        "deeplabcut_w32",
        {"num_joints": 39},
        True,
        "DeepLabCut network",
        "nearest (as every DeepLabCut network)",
        None,
    ),
    (
        "semantic_w48",
        {"base_channel": 48, "upsampling": "bilinear"},
        False,
        "segmentation network",
        "bilinear (as every segmentation network, corners assumed not aligned)",
        None,
    ),
    ("higher_w32", {}, False, "HigherHRNet", "nearest (as every HigherHRNet)", None),
]


def weights(scheme):
    return {name: tensor(name, shape) for name, shape in read_keys(scheme).items()}


def agree(ours, scheme, name):
    """Within 1e-5 of the largest value, everywhere that is kept, and in the sums over all."""
    ours, theirs = ours[0].double().numpy(), GOLDEN[f"{scheme}_{name}"]
    assert np.abs(theirs).max() > 0.1  # not a network that is silent
    largest = np.abs(theirs).max()
    np.testing.assert_allclose(ours[:, ::STEP, ::STEP], theirs, rtol=0, atol=1e-5 * largest)
    sums, area = GOLDEN[f"{scheme}_{name}_sums"], ours[0].size
    np.testing.assert_allclose(ours.sum(axis=(1, 2)), sums, rtol=0, atol=1e-5 * largest * area)


def test_all_lists_are_tested():
    lists = {file.stem for file in CHECKPOINTS.glob("*.txt")}
    assert lists == {scheme for scheme, *_ in SCHEMES} | {"semantic_w48_aligned"}


@pytest.mark.parametrize(
    ("scheme", "arguments", "has_head", "kind", "upsampling", "left_out"),
    SCHEMES,
    ids=[scheme for scheme, *_ in SCHEMES],
)
def test_public_checkpoints_load_and_compute_the_same(
    tmp_path, scheme, arguments, has_head, kind, upsampling, left_out
):
    file = tmp_path / "x.safetensors"
    theirs = weights(scheme)
    save_file(theirs, file)
    network = HighResolutionNet(**arguments).eval()
    if not has_head:
        with pytest.raises(WeightsError, match=r"has no pose head: it is a .*; head='skip'"):
            load_weights(network, file)
    report = load_weights(network, file, head="load" if has_head else "skip")
    assert report.kind == kind
    assert report.upsampling == upsampling
    assert len(report.loaded) + len(report.skipped) == len(theirs)
    if left_out is not None:
        assert len(report.skipped) == left_out
    assert not [name for name in report.missing if not name.startswith("final_layer")]

    with torch.inference_mode():
        x = picture(*GOLDEN[f"{scheme}_size"].tolist())
        agree(network.features(x)[0], scheme, "features")
        if has_head:
            agree(network(x), scheme, "heatmaps")


def test_four_branches_load_from_a_classification_network(tmp_path):
    save_file(weights("classification_w18"), tmp_path / "x.safetensors")
    network = HighResolutionNet(18, multi_scale_output=True).eval()
    report = load_weights(network, tmp_path / "x.safetensors", head="skip")
    assert not any("fuse_layers" in name for name in report.skipped)
    with torch.inference_mode():
        agree(network.features(picture(256, 192))[0], "classification_w18", "features")
    # A pose network's file has no weights for them.
    save_file(weights("official_w32"), tmp_path / "x.safetensors")
    with pytest.raises(WeightsError, match=r"it lacks stage4.2.fuse_layers.1"):
        load_weights(HighResolutionNet(32, multi_scale_output=True), tmp_path / "x.safetensors")


def test_upsampling_makes_a_difference_that_names_and_shapes_do_not_show(tmp_path):
    """The reason for judging it: the weights of a face network in a network that fuses by
    nearest would load, and compute something else."""
    save_file(weights("facial_w18_wflw"), tmp_path / "x.safetensors")
    with pytest.raises(WeightsError, match="upsamples bilinear .* its results would be wrong"):
        load_weights(HighResolutionNet(18, 98, head="v2"), tmp_path / "x.safetensors")
    network = HighResolutionNet(18, 98, head="v2", upsampling="bilinear").eval()
    load_weights(network, tmp_path / "x.safetensors")
    for module in network.modules():
        if isinstance(module, Upsampling):
            module.mode = "nearest"
    with torch.inference_mode(), pytest.raises(AssertionError):
        agree(network(picture(256, 256)), "facial_w18_wflw", "heatmaps")


def test_an_imagenet_network_starts_a_face_network_as_in_the_official_recipes(tmp_path):
    save_file(weights("classification_w18"), tmp_path / "x.safetensors")
    network = HighResolutionNet(18, 98, head="v2", upsampling="bilinear")
    report = load_weights(network, tmp_path / "x.safetensors", head="skip")
    assert report.upsampling == "nearest (as every classification network)"
