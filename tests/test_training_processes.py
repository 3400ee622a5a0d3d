"""Training in several processes, and processes that are killed."""

import contextlib
import csv
import json
import multiprocessing
import os
import random
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from hrnet.training.distributed import SyncBatchNorm, sync_batch_norm
from hrnet.training.recipe import load_recipe
from hrnet.training.run import train
from real_data import real_data

TINY = [
    "model.input_size=[64, 64]",
    "model.network.base_channel=4",
    "model.network.num_blocks=1",
    "model.network.layer1_channels=16",
    "training.warmup_steps=2",
    "training.learning_rate=1e-3",
    "data.workers=0",
    "training.threads=1",
]


@pytest.fixture(scope="module")
def seven_people(tmp_path_factory):
    """Of LSP, as an annotation file; one in two lacks joints."""
    source = real_data("lsp/train_coco17.json")
    content = json.loads(source.read_text())
    lacking = [a for a in content["annotations"] if not all(a["keypoints"][17::3])][:3]
    whole = [a for a in content["annotations"] if all(a["keypoints"][17::3])][:4]
    rows = [*whole, *lacking]
    ids = {a["image_id"] for a in rows}
    content["annotations"] = rows
    content["images"] = [i for i in content["images"] if i["id"] in ids]
    folder = tmp_path_factory.mktemp("data")
    (folder / "people.json").write_text(json.dumps(content))
    file = f'{{file="people.json", images="{source.parent / "images"}"}}'
    return [f"data.root={folder}", f"data.sources=[{file}]", f"data.validation=[{file}]"]


def measured(run):
    """Column by column, what a run logged."""
    (file,) = run.glob("log/from_step_0/metrics.csv")
    with file.open() as stream:
        rows = list(csv.DictReader(stream))
    return {name: [float(row[name]) for row in rows if row.get(name)] for name in ("loss", "pck")}


def average_gradient(run):
    """AdamW's running mean of all parameters' gradients, one after the other."""
    checkpoint = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    (optimizer,) = checkpoint["optimizer_states"]
    means = [state["exp_avg"].flatten() for _, state in sorted(optimizer["state"].items())]
    return torch.cat(means)


def plain_recipe(folder):
    """A file with the packaged model's recipe without its stages."""
    file = folder / "plain.toml"
    file.write_text('schema = 1\nextends = "hrnet_w32_small_coco17"\n')
    return file


@pytest.mark.slow
def test_two_processes_train_and_measure_as_one_does(seven_people, tmp_path):
    """Batches of 8 in one process, of 4 in each of two over gloo, with batch norm over all: the
    same losses, gradients, weights and figures, though 7 people cannot be measured in equal parts.

    The rate is small: AdamW's step has the size of the rate however small the gradient, so at a
    larger one rounding alone sends the two networks apart."""
    schedule = ["training.steps=4", "training.validate_every=2", "training.learning_rate=1e-6"]
    changes = [*seven_people, *TINY, *schedule]
    one = load_recipe("hrnet_w32_small_coco17", [*changes, "training.batch_size=8"])
    alone = train(one, tmp_path / "one", device="cpu", devices=1)
    command = [Path(sys.executable).with_name("hrnet"), "train", plain_recipe(tmp_path)]
    options = ["--device", "cpu", "--devices", "2", "--out", tmp_path / "two"]
    keys = [*changes, "training.batch_size=4", "training.sync_batchnorm=true"]
    finished = subprocess.run(
        [*command, *keys, *options], capture_output=True, text=True, check=True, timeout=300
    )
    assert finished.stdout.count("the weights are in") == 1
    line = r"reached on people.json \(7 people, true boxes, flip test on\): AP 0\.\d{3}, "
    assert len(re.findall(line, finished.stdout)) == 1

    first, second = measured(tmp_path / "one"), measured(tmp_path / "two")
    assert len(first["loss"]) == 4
    np.testing.assert_allclose(second["loss"], first["loss"], rtol=1e-4)
    assert len(first["pck"]) == 2
    assert second["pck"] == pytest.approx(first["pck"])
    expected = load_file(alone.weights)
    found = load_file(tmp_path / "two" / alone.weights.name)
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=2**-10, atol=1e-5, msg=name)  # fp16
    moments, others = average_gradient(tmp_path / "one"), average_gradient(tmp_path / "two")
    assert float((others - moments).norm() / moments.norm()) < 1e-3
    record = json.loads((tmp_path / "two" / "run.json").read_text())
    assert record["processes"] == 2
    assert record["people"] == {"trained_on": 7, "measured_on": 7}
    # The figures at the end, of the same people through the estimator.
    reached = record["reached"]["people.json"]
    assert reached.keys() == alone.evaluations["people.json"].figures.keys()


def test_batch_norm_of_one_process_stays_what_it_was():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    names = list(network.state_dict())
    x = torch.randn(2, 3, 8, 8)
    expected = network(x)
    sync_batch_norm(network)
    assert type(network[1]) is SyncBatchNorm
    assert list(network.state_dict()) == names
    assert network[1].num_batches_tracked == 1
    assert torch.equal(network(x), expected)


def go_on(arguments, out):
    """In a process of its own: resume if there is something to, and save at every step."""
    recipe = load_recipe("hrnet_w32_small_coco17", arguments)
    resume = (out / "checkpoints" / "last.ckpt").exists()
    train(recipe, out, resume=resume, device="cpu", devices=1)


@pytest.mark.slow
def test_a_run_killed_at_any_moment_leaves_a_checkpoint_that_loads_and_resumes(
    seven_people, tmp_path
):
    """20 times over, by SIGKILL, every second time while a checkpoint is being written."""
    arguments = [
        *seven_people,
        *TINY,
        "data.validation=[]",
        "training.batch_size=4",
        "training.steps=100000",
        "training.checkpoint_minutes=1e-6",
        "training.ema=0.9",
    ]
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["hrnet.training.run"])
    folder = tmp_path / "run" / "checkpoints"
    last = folder / "last.ckpt"
    rng = random.Random(0)
    steps, cut_off = [0], 0
    for trial in range(20):
        child = processes.Process(target=go_on, args=(arguments, tmp_path / "run"))
        child.start()
        before = last.stat().st_mtime_ns if last.exists() else 0
        while not (last.exists() and last.stat().st_mtime_ns > before):
            child.join(timeout=0.01)
            assert child.is_alive()
        if trial % 2:
            child.join(timeout=rng.uniform(0, 0.5))
        else:
            saves = rng.randint(1, 4)
            seen = set()
            while len(seen) < saves:
                assert child.is_alive()
                seen |= {name for name in os.listdir(folder) if name.startswith(".")}
        child.kill()
        child.join()
        cut_off += any(name.startswith(".") for name in os.listdir(folder))
        checkpoint = torch.load(last, map_location="cpu", weights_only=True)
        steps.append(checkpoint["global_step"])
        assert checkpoint["state_dict"].keys() == checkpoint["current_model_state"].keys()
    assert (np.diff(steps) > 0).all()  # every one went on from the one before
    assert cut_off >= 3


@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_says_how_to_go_on(seven_people, tmp_path, sign):
    """The signal goes to its workers as well, as a terminal and SLURM send it."""
    command = [Path(sys.executable).with_name("hrnet"), "train", plain_recipe(tmp_path)]
    changes = ["training.steps=100000", "training.checkpoint_minutes=1e-6", "data.validation=[]"]
    changes += ["data.workers=1"]
    run = subprocess.Popen(
        [*command, *seven_people, *TINY, *changes, "--device", "cpu", "--out", tmp_path],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Ignored, as a shell has it in its background, it would stay ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    last = tmp_path / "checkpoints" / "last.ckpt"
    while not last.exists():
        with contextlib.suppress(subprocess.TimeoutExpired):
            run.wait(timeout=0.05)
        assert run.poll() is None
    os.killpg(run.pid, sign)
    out, errors = run.communicate(timeout=120)
    assert run.returncode == 130
    assert out == ""
    assert errors.splitlines()[-1] == (
        f"interrupted; to go on from {last}, repeat the command with --resume"
    )
    assert "Traceback" not in errors


def test_what_is_unfinished_of_a_killed_run_is_removed(seven_people, tmp_path):
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    (folder / ".abc.ckpt").write_bytes(b"half")
    changes = [*seven_people, *TINY, "data.validation=[]", "training.steps=1"]
    train(load_recipe("hrnet_w32_small_coco17", changes), tmp_path, device="cpu", devices=1)
    assert not (folder / ".abc.ckpt").exists()
