from pathlib import Path

import numpy as np
import pytest
import torch

from hrnet.codec import HeatmapCodec

GOLDEN = np.load(Path(__file__).parent / "golden" / "codec.npz")
INPUT = (72, 96)
KINDS = ["plain", "dark", "udp"]


@pytest.mark.parametrize("kind", KINDS)
def test_targets_equal_the_official_ones(kind):
    targets, weights = HeatmapCodec(kind).encode(
        torch.from_numpy(GOLDEN["points"]), torch.from_numpy(GOLDEN["labelled"]), INPUT
    )
    expected = GOLDEN[f"{kind}_weights"]
    np.testing.assert_array_equal(weights, expected)
    assert 0 < expected.sum() < expected.size  # joints of both kinds are among them
    np.testing.assert_allclose(targets, GOLDEN[f"{kind}_targets"], atol=2e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_decoding_equals_the_official_one(kind):
    """Borders, corners, two peaks, nothing positive, one cell alone, ties: see make_codec.py."""
    points = HeatmapCodec(kind).decode(torch.from_numpy(GOLDEN["heatmaps"])).numpy()
    expected = GOLDEN[f"{kind}_decoded"].copy()
    if kind == "udp":
        # mmpose says (-1, -1) where nothing is positive and then refines that; ours is (0, 0).
        assert expected[3, 3, 2] <= 0
        expected[3, 3, :2] = 0
    np.testing.assert_allclose(points, expected, atol=2e-3 if kind == "udp" else 1e-3)


@pytest.mark.parametrize(("kind", "bound"), [("plain", 0.5001), ("dark", 0.05), ("udp", 0.05)])
@pytest.mark.parametrize(("input_size", "sigma"), [((192, 256), 2.0), ((288, 384), 3.0)])
def test_round_trip_in_cells(kind, bound, input_size, sigma):
    codec = HeatmapCodec(kind, sigma)
    cell = torch.tensor(codec.cell_size(input_size))
    generator = torch.Generator().manual_seed(0)
    cells = torch.rand(64, 17, 2, generator=generator)
    cells = 6 + cells * (torch.tensor(input_size) / 4 - 13)
    heatmaps, weights = codec.encode(cells * cell, torch.ones(64, 17, dtype=torch.bool), input_size)
    decoded = codec.decode(heatmaps)
    assert weights.min() == 1
    assert (decoded[..., :2] - cells).abs().max() < bound
    assert decoded[..., 2].min() > 0.9


@pytest.mark.parametrize("kind", KINDS)
def test_unlabelled_joints_have_empty_targets(kind):
    points = torch.full((1, 2, 2), 40.0)
    heatmaps, weights = HeatmapCodec(kind).encode(points, torch.tensor([[True, False]]), INPUT)
    assert weights.tolist() == [[1, 0]]
    assert heatmaps[0, 0].max() == 1 or kind != "plain"
    assert heatmaps[0, 1].abs().max() == 0


@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_heatmaps_are_decoded_in_float32(kind):
    heatmaps = torch.from_numpy(GOLDEN["heatmaps"]).bfloat16()
    codec = HeatmapCodec(kind)
    decoded = codec.decode(heatmaps)
    assert decoded.dtype == torch.float32
    assert torch.equal(decoded, codec.decode(heatmaps.float()))


@pytest.mark.parametrize("kind", KINDS)
def test_mixed_precision_leaves_decoding_in_float32(kind):
    heatmaps = torch.from_numpy(GOLDEN["heatmaps"])
    codec = HeatmapCodec(kind)
    expected = codec.decode(heatmaps)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(codec.decode(heatmaps), expected)


def noise(kind):
    """Heatmaps (64, 17, 64, 48) of networks that know nothing."""
    generator = torch.Generator().manual_seed(0)
    normal = torch.randn(64, 17, 64, 48, generator=generator)
    return {
        "normal": normal,
        "positive": normal.abs(),
        "nearly flat": 0.5 + 1e-6 * normal,
        "nearly all negative": normal - 4,
        "levels": normal.clamp(0, 1).round(),  # whose steps often have no single place to go to
        "flat": torch.ones_like(normal),
        "one cell in nothing": (torch.arange(64 * 48) == 1000).float().expand(64, 17, -1),
    }[kind].reshape(64, 17, 64, 48)


@pytest.mark.parametrize(
    ("kind", "kernel", "reach"),
    [("plain", 11, 0.25), ("dark", 11, 7), ("udp", 11, 6), ("dark", 3, 3), ("udp", 17, 9)],
)
@pytest.mark.parametrize(
    "heatmaps",
    [
        "normal", "positive", "nearly flat", "nearly all negative", "levels", "flat",
        "one cell in nothing",
    ],
)  # fmt: skip
def test_points_stay_near_their_peaks_whatever_the_heatmap(kind, kernel, reach, heatmaps):
    """The references' steps reach thousands of cells."""
    heatmaps = noise(heatmaps)
    points = HeatmapCodec(kind, blur_kernel=kernel).decode(heatmaps)
    index = heatmaps.flatten(2).argmax(dim=-1)
    peaks = torch.stack([index % 48, index // 48], dim=-1)
    found = points[..., 2] > 0
    assert found.any()
    assert ((points[..., :2] - peaks)[found].abs() <= reach + 1e-5).all()  # nor is NaN


@pytest.mark.parametrize(("kind", "reach"), [("dark", 7), ("udp", 6)])
def test_only_steps_that_are_too_long_are_cut(kind, reach, monkeypatch):
    heatmaps = noise("positive")
    cut = HeatmapCodec(kind).decode(heatmaps)[..., :2]
    monkeypatch.setattr(f"hrnet.codec.{kind.upper()}_REACH", 10**9)
    steps = HeatmapCodec(kind).decode(heatmaps)[..., :2]
    index = heatmaps.flatten(2).argmax(dim=-1)
    peaks = torch.stack([index % 48, index // 48], dim=-1)
    too_long = (steps - peaks).abs() > reach
    assert too_long.sum() > 50
    assert torch.equal(cut[~too_long], steps[~too_long])
    assert torch.equal(cut[too_long], (peaks + reach * (steps - peaks).sign())[too_long])


@pytest.mark.parametrize("kernel", [3, 11, 31])
def test_blur_kernels_may_be_wider_than_the_heatmap(kernel):
    points = torch.full((1, 1, 2), 16.0)
    codec = HeatmapCodec("dark", 1.0, kernel)
    heatmaps, _ = codec.encode(points, torch.ones(1, 1, dtype=torch.bool), (32, 32))
    assert torch.allclose(codec.decode(heatmaps)[0, 0, :2], torch.tensor([4.0, 4.0]), atol=0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_decode_of_nobody(kind):
    assert HeatmapCodec(kind).decode(torch.empty(0, 17, 64, 48)).shape == (0, 17, 3)
