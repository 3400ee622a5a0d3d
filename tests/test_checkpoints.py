"""Weights files that are wrong: each is refused by one sentence, and nothing in it is run."""

import argparse
import json
import os
import random
import struct
import sys
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from hrnet import HighResolutionNet, WeightsError, load_weights
from hrnet.zoo.checkpoints import read_checkpoint

SMALL = {"num_modules": (1, 1, 1), "num_blocks": 1, "layer1_channels": 64, "layer1_blocks": 1}


def small_network(base_channel=8, joints=5, **kwargs):
    return HighResolutionNet(base_channel, joints, **{**SMALL, **kwargs})


@pytest.fixture(scope="module")
def weights():
    torch.manual_seed(0)
    return small_network().state_dict()


def refused(file, message, network=None, **kwargs):
    network = network or small_network()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(WeightsError, match=message) as caught:
        load_weights(network, file, **kwargs)
    assert "\n" not in str(caught.value)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]), f"{name} was changed"


class Program:
    """What unpickling it would run creates a file."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return os.mkdir, (str(self.file),)


@pytest.mark.parametrize("zipped", [True, False])
def test_programs_are_not_run(tmp_path, weights, zipped):
    trap = tmp_path / "trap"
    file = tmp_path / "x.pth"
    torch.save(
        {"state_dict": weights, "optimizer": Program(trap)},
        file,
        _use_new_zipfile_serialization=zipped,
    )
    refused(file, rf"holds {os.mkdir.__module__}.mkdir beside weights, .*state_dict\(\) alone")
    assert not trap.exists()


def test_a_pickled_network_is_refused(tmp_path):
    torch.save(small_network(), tmp_path / "x.pth")
    refused(tmp_path / "x.pth", r"holds hrnet.network.HighResolutionNet beside weights")


@pytest.fixture
def history_buffer(monkeypatch):
    """A class as mmengine's, whose instances are in all files that it writes."""
    module = types.ModuleType("mmengine.logging.history_buffer")

    class HistoryBuffer:
        def __init__(self):
            self._max_length = 10
            self._log_history = np.zeros(3)
            self._count_history = np.zeros(3, np.int64)
            self._statistics_methods = {"mean": HistoryBuffer.mean}
            self.current = np.float64(3)

        def mean(self):
            return self._log_history.mean()

    HistoryBuffer.__module__, HistoryBuffer.__qualname__ = module.__name__, "HistoryBuffer"
    HistoryBuffer.mean.__qualname__ = "HistoryBuffer.mean"
    HistoryBuffer.mean.__module__ = module.__name__
    module.HistoryBuffer = HistoryBuffer
    for name in ("mmengine", "mmengine.logging"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return HistoryBuffer()


@pytest.mark.parametrize("zipped", [True, False])
def test_what_training_programs_leave_in_their_files_is_passed_over(
    tmp_path, weights, history_buffer, zipped
):
    content = {
        "meta": {"cfg": "model = dict(type='HRNet')", "dataset_meta": {"sigmas": np.ones(17)}},
        "message_hub": {"loss": history_buffer},
        "hyper_parameters": argparse.Namespace(data=Path("x"), lr=np.float32(1)),
        "state_dict": weights,
    }
    torch.save(content, tmp_path / "x.pth", _use_new_zipfile_serialization=zipped)
    checkpoint = read_checkpoint(tmp_path / "x.pth")
    assert checkpoint.tensors.keys() == weights.keys()
    assert checkpoint.config == "model = dict(type='HRNet')"


def test_a_file_that_unpacks_to_more_than_its_size_is_refused(tmp_path, weights):
    torch.save(weights, tmp_path / "x.pth")
    with (
        zipfile.ZipFile(tmp_path / "x.pth") as plain,
        zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for name in plain.namelist():
            bomb.writestr(name, plain.read(name))
        bomb.writestr("x/data/999999", b"\0" * 100_000_000)
    assert (tmp_path / "bomb.pth").stat().st_size < 1_000_000
    refused(tmp_path / "bomb.pth", "would unpack to more than its own size")


def test_a_safetensors_header_that_lies_is_refused(tmp_path, weights):
    file = tmp_path / "x.safetensors"
    save_file(weights, file)
    whole = file.read_bytes()
    length = struct.unpack("<Q", whole[:8])[0]
    header = json.loads(whole[8 : 8 + length])

    def with_header(header):
        text = json.dumps(header).encode()
        return struct.pack("<Q", len(text)) + text + whole[8 + length :]

    assert with_header(header)  # the one that is right is read
    file.write_bytes(with_header(header))
    load_weights(small_network(), file)
    first = header["bn1.bias"]
    for lie in (
        with_header({**header, "bn1.bias": {**first, "shape": [1 << 40]}}),
        with_header({**header, "bn1.bias": {**first, "data_offsets": [0, 1 << 50]}}),
        with_header({**header, "bn1.bias": {**first, "dtype": "F99"}}),
        struct.pack("<Q", 1 << 62) + whole[8:],
        whole[:-1000],
        whole[: 8 + length // 2],
        b"",
    ):
        file.write_bytes(lie)
        refused(file, "is not a safetensors file")


def test_what_is_no_weights_file_is_refused(tmp_path, weights):
    refused(tmp_path / "none.pth", "there is no weights file")
    refused(tmp_path, "cannot be read")
    for content in (b"", b"\x80\x02", b"PK\x03\x04", b"text", b"\0" * 100):
        (tmp_path / "x.pth").write_bytes(content)
        refused(tmp_path / "x.pth", "is not a weights file, or a broken one")
    torch.save(weights, tmp_path / "x.pth")
    whole = (tmp_path / "x.pth").read_bytes()
    (tmp_path / "x.pth").write_bytes(whole[: len(whole) // 2])
    refused(tmp_path / "x.pth", "is not a weights file, or a broken one")
    torch.save({"epoch": 3, "lr": 0.1}, tmp_path / "x.pth")
    refused(tmp_path / "x.pth", "holds no weights; it is a table of epoch, lr")
    torch.save(torch.zeros(3), tmp_path / "x.pth")
    refused(tmp_path / "x.pth", "holds no weights; it is a Tensor")


@pytest.mark.parametrize("zipped", [True, False])
def test_damaged_files_are_refused(tmp_path, weights, zipped):
    file = tmp_path / "x.pth"
    torch.save(weights, file, _use_new_zipfile_serialization=zipped)
    whole = file.read_bytes()
    chance = random.Random(0)
    reads = 0
    for _ in range(100):
        damaged = bytearray(whole)
        for _ in range(20):  # at the ends, where the structure is
            position = chance.choice([chance.randrange(3000), -1 - chance.randrange(3000)])
            damaged[position] = chance.randrange(256)
        file.write_bytes(damaged)
        try:
            load_weights(small_network(), file)
        except WeightsError as error:
            assert "\n" not in str(error)
        else:
            reads += 1
    assert reads < 20  # where only numbers were hit


def test_other_networks_are_refused(tmp_path, weights):
    def file(tensors):
        torch.save(tensors, tmp_path / "x.pth")
        return tmp_path / "x.pth"

    refused(file({"layer1.0.weight": torch.zeros(1)}), "holds no HRNet: there is no transition1")
    both = {f"{p}.{k}": t for k, t in weights.items() for p in ("model", "ema")}
    refused(file(both), "holds 2 networks, model. and ema.; save one alone")
    refused(
        file(weights),
        r"has 8 channels in its first branch and this one 16; make it with HighResolutionNet\(8\)",
        small_network(16),
    )
    refused(file(weights), "has heatmaps of 5 joints and this network 17", small_network(joints=17))
    refused(
        file(weights), "it has stage2.0.*which the network has not", small_network(num_blocks=0)
    )
    refused(file(weights), "it lacks stage3.1", small_network(num_modules=(1, 2, 1)))
    refused(file(weights), "other shapes than the network's", small_network(layer1_channels=128))
    refused(
        file(weights),
        "upsamples nearest .* this one bilinear",
        small_network(upsampling="bilinear"),
    )
    refused(
        file(weights),
        "has the head 'v1'.*and this network 'v2'",
        small_network(head="v2"),
    )
    without_head = {k: t for k, t in weights.items() if not k.startswith("final_layer")}
    refused(file(without_head), "has no pose head: it is a backbone alone; head='skip'")
    lacking = {k: t for k, t in weights.items() if k != "stage2.0.branches.0.0.bn1.weight"}
    refused(file(lacking), "it lacks stage2.0.branches.0.0.bn1.weight;")
    for bad in (float("nan"), float("inf")):
        broken = {**weights, "bn1.bias": torch.full_like(weights["bn1.bias"], bad)}
        refused(file(broken), "bn1.bias in .* holds NaN or infinity")
    bias = weights["bn1.bias"]
    for odd, what in (
        (bias.long(), "torch.int64"),
        (bias.to(torch.complex64), "torch.complex64"),
        (bias.to(torch.float8_e4m3fn), "torch.float8_e4m3fn"),
        (bias.to_sparse(), "torch.sparse_coo"),
        (bias.to("meta"), "on meta"),
    ):
        refused(file({**weights, "bn1.bias": odd}), f"bn1.bias in .* {what}.*; save ordinary")


def test_settings_in_the_file_say_how_it_upsamples(tmp_path, weights):
    def file(settings):
        torch.save({"state_dict": weights, "meta": {"cfg": settings}}, tmp_path / "x.pth")
        return tmp_path / "x.pth"

    bilinear = "backbone=dict(upsample=dict(align_corners=False, mode='bilinear'))"
    refused(
        file(bilinear), r"upsamples bilinear \(by the settings in the file\) and this one nearest"
    )
    report = load_weights(small_network(upsampling="bilinear"), file(bilinear))
    assert report.upsampling == "bilinear (by the settings in the file)"
    aligned = bilinear.replace("False", "True")
    refused(file(aligned), "with aligned corners", small_network(upsampling="bilinear"))


def test_the_head_can_be_left_as_it_is(tmp_path, weights):
    torch.save(weights, tmp_path / "x.pth")
    network = small_network(joints=17)
    head = network.final_layer.weight.clone()
    report = load_weights(network, tmp_path / "x.pth", head="skip")
    assert torch.equal(network.final_layer.weight, head)
    assert torch.equal(network.conv1.weight, weights["conv1.weight"])
    assert report.skipped == dict.fromkeys(
        ("final_layer.weight", "final_layer.bias"), "the head, as asked"
    )
    assert report.missing == ("final_layer.weight", "final_layer.bias")
    assert len(report.loaded) == len(weights) - 2


def test_halved_weights_load(tmp_path, weights):
    """With batch norm's counters, which `network.half()` leaves and a careless cast does not."""
    torch.save({k: t.half() for k, t in weights.items()}, tmp_path / "x.pth")
    network = small_network()
    load_weights(network, tmp_path / "x.pth")
    assert torch.equal(network.conv1.weight, weights["conv1.weight"].half().float())
    assert network.bn1.num_batches_tracked.dtype == torch.int64


def test_files_of_old_pytorch_lack_the_count_of_batches(tmp_path, weights):
    old = {k: t for k, t in weights.items() if not k.endswith("num_batches_tracked")}
    torch.save(old, tmp_path / "x.pth")
    report = load_weights(small_network(), tmp_path / "x.pth")
    assert set(report.missing) == weights.keys() - old.keys()


def test_the_report_is_readable(tmp_path, weights):
    without_head = {f"model.{k}": t for k, t in weights.items() if "final_layer" not in k}
    torch.save(
        {"model": {**without_head, "fc.bias": torch.ones(3), "model.x": torch.ones(1)}},
        tmp_path / "x.pth",
    )
    report = load_weights(small_network(), tmp_path / "x.pth", head="skip")
    assert str(report) == (
        f"{tmp_path / 'x.pth'} (backbone without a head): {len(without_head)} entries loaded\n"
        "  1 skipped, such as model.x: not a part of HRNet\n"
        "  1 skipped, such as fc.bias: not under model., where the network is\n"
        "  2 not in the file: final_layer.weight, final_layer.bias\n"
        "  upsampling: unknown, assumed nearest"
    )


def test_head_must_be_load_or_skip(tmp_path):
    with pytest.raises(ValueError, match="head is 'drop'"):
        load_weights(small_network(), tmp_path / "x.pth", head="drop")
