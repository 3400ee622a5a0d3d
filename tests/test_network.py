import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from rule import CASES, case_name, fill, picture

from hrnet.network import Downsampling, HighResolutionNet, Upsampling, network_parts

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize(("base_channel", "joints", "size"), CASES)
def test_heatmaps_equal_those_of_the_official_network(base_channel, joints, size):
    golden = np.load(GOLDEN / "network.npz")
    name = case_name(base_channel, joints, size)
    network = HighResolutionNet(base_channel, joints)
    fill(network)
    with torch.inference_mode():
        heatmaps = network(picture(*size))[0].numpy()
    assert heatmaps.shape == (joints, size[0] // 4, size[1] // 4)
    expected = golden[f"{name}_heatmaps"]
    tolerance = 1e-5 * np.abs(expected).max()
    np.testing.assert_allclose(heatmaps[:, ::4, ::4], expected, rtol=0, atol=tolerance)
    sums = heatmaps.sum(axis=(1, 2), dtype=np.float64)
    scale = np.abs(heatmaps).sum(axis=(1, 2))
    assert np.all(np.abs(sums - golden[f"{name}_sums"]) < 1e-5 * scale)


def test_state_dict_names_and_order_are_the_official_ones():
    keys = np.load(GOLDEN / "network.npz")["w32_keys"].tolist()
    assert list(HighResolutionNet(32, 17).state_dict()) == keys
    assert len(keys) == 1754


@pytest.mark.parametrize(
    ("network", "parameters"),
    [
        # Official W32 and W48 with 17 joints.
        ({"base_channel": 32}, 28_536_113),
        ({"base_channel": 48}, 63_595_745),
        # The model in the package.
        (
            {
                "base_channel": 32,
                "num_modules": (1, 1, 1),
                "num_blocks": 2,
                "layer1_channels": 128,
                "layer1_blocks": 1,
            },
            4_830_833,
        ),
    ],
)
def test_parameter_counts(network, parameters):
    with torch.device("meta"):
        net = HighResolutionNet(num_joints=17, **network)
    assert sum(p.numel() for p in net.parameters()) == parameters


def test_the_first_transition_has_a_convolution_even_where_widths_are_equal():
    with torch.device("meta"):
        names = set(HighResolutionNet(16, layer1_channels=16).state_dict())
    assert {"transition1.0.0.weight", "transition1.1.0.0.weight"} < names


def test_the_table_of_parts_adds_up_to_the_published_totals():
    parts = {part.name: part for part in network_parts((256, 192))}
    assert sum(part.parameters for part in parts.values()) == 28_536_113
    assert sum(part.multiply_adds for part in parts.values()) == pytest.approx(7.65e9, rel=1e-3)
    assert list(parts) == [
        *("stem", "layer1", "transition1", "stage2", "transition2", "stage3"),
        *("transition3", "stage4", "final_layer"),
    ]
    assert parts["stem"].shapes == [(64, 64, 48)]
    assert parts["stem"].parameters == 3 * 64 * 9 + 128 + 64 * 64 * 9 + 128
    assert parts["transition3"].shapes == [(32, 64, 48), (64, 32, 24), (128, 16, 12), (256, 8, 6)]
    assert parts["stage4"].shapes == [(32, 64, 48)]
    assert parts["final_layer"].multiply_adds == 32 * 17 * 64 * 48


def test_the_module_prints_its_table():
    done = subprocess.run(
        [sys.executable, "-m", "hrnet.network"], capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert lines[-1].split() == ["in", "all", "28,536,113", "7,645,003,776"]
    assert lines[5].split()[:3] == ["transition1", "32x64x48", "64x32x24"]


def test_what_tutorials_get_wrong():
    """No bias in the exchange, no ReLU after the last downsampling, a transition's new branch one
    level deeper."""
    with torch.device("meta"):
        net = HighResolutionNet(32)
    names = set(net.state_dict())
    assert {
        "transition1.0.0.weight",
        "transition1.1.0.0.weight",
        "transition2.2.0.0.weight",
    } < names
    assert not any(name.endswith("bias") and ".fuse_layers." in name and ".0.bias" in name
                   for name in names)  # fmt: skip
    twice = net.stage3[0].fuse_layers[2][0]
    assert isinstance(twice, Downsampling)
    assert [[type(layer).__name__ for layer in halving] for halving in twice] == [
        ["Conv2d", "BatchNorm2d", "ReLU"],
        ["Conv2d", "BatchNorm2d"],
    ]
    assert [halving[0].out_channels for halving in twice] == [32, 128]
    up = net.stage3[0].fuse_layers[0][2]
    assert isinstance(up, Upsampling)
    assert (up[0].kernel_size, up[0].in_channels, up[0].out_channels) == ((1, 1), 128, 32)


def test_w32_takes_7_65_giga_multiply_adds_at_256x192():
    multiply_adds = 0

    def count(layer, inputs, output):
        nonlocal multiply_adds
        multiply_adds += layer.weight[0].numel() * output[0].numel()

    with torch.device("meta"):
        net = HighResolutionNet(32, 17)
        for layer in net.modules():
            if isinstance(layer, torch.nn.Conv2d):
                layer.register_forward_hook(count)
        net(torch.empty(1, 3, 256, 192))
    assert multiply_adds == pytest.approx(7.65e9, rel=1e-3)


@pytest.fixture(scope="module")
def tiny():
    torch.manual_seed(0)
    return HighResolutionNet(
        4, 3, num_modules=(1, 1, 1), num_blocks=1, layer1_channels=16, layer1_blocks=1
    ).eval()


@pytest.mark.parametrize("size", [(32, 32), (36, 44), (100, 52), (64, 96)])
def test_every_multiple_of_4_gives_a_quarter_of_the_resolution(tiny, size):
    assert tiny(torch.zeros(2, 3, *size)).shape == (2, 3, size[0] // 4, size[1] // 4)


@pytest.mark.parametrize(
    ("size", "sizes_that_work"),
    [
        ((250, 190), "248 x 188 or 252 x 192"),
        ((256, 191), "256 x 188 or 256 x 192"),
        ((16, 64), "32 x 64"),
    ],
)
def test_other_sizes_are_refused_with_the_nearest_that_work(tiny, size, sizes_that_work):
    with pytest.raises(ValueError, match=re.escape(f"resize to {sizes_that_work}")):
        tiny(torch.zeros(1, 3, *size))


def test_backbone_gives_four_maps():
    net = HighResolutionNet(4, 3, num_modules=(1, 1, 2), num_blocks=1, multi_scale_output=True)
    shapes = [tuple(x.shape) for x in net.features(torch.zeros(1, 3, 64, 96))]
    assert shapes == [(1, 4, 16, 24), (1, 8, 8, 12), (1, 16, 4, 6), (1, 32, 2, 3)]


def test_backbone_has_the_pose_network_s_names_and_the_lower_fusions():
    with torch.device("meta"):
        pose = set(HighResolutionNet(32).state_dict())
        backbone = set(HighResolutionNet(32, multi_scale_output=True).state_dict())
    extra = backbone - pose
    assert pose < backbone
    assert all(re.match(r"stage4\.2\.fuse_layers\.[123]\.", name) for name in extra)


def test_upsampling_is_nearest_unless_said_otherwise():
    nearest, bilinear = (
        HighResolutionNet(4, 3, num_modules=(1, 1, 1), num_blocks=1, upsampling=mode).eval()
        for mode in ("nearest", "bilinear")
    )
    bilinear.load_state_dict(nearest.state_dict())
    x = torch.randn(1, 3, 64, 64)
    assert not torch.allclose(nearest.features(x)[0], bilinear.features(x)[0])
    with pytest.raises(ValueError, match="'nearest' or 'bilinear'"):
        HighResolutionNet(4, 3, upsampling="bicubic")


def test_the_caller_s_tensors_stay_as_they_are(tiny):
    x = torch.randn(1, 3, 64, 64)
    before = x.clone()
    tiny(x)
    assert torch.equal(x, before)
    branches = [torch.randn(1, 4, 16, 16), torch.randn(1, 8, 8, 8)]
    copies = [b.clone() for b in branches]
    tiny.stage2[0](branches)
    assert all(torch.equal(b, c) for b, c in zip(branches, copies, strict=True))
