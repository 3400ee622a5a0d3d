import os
from tempfile import TemporaryDirectory

import pytest
import torch

from hrnet.zoo import find_model
from hrnet.zoo.build import build_model, save_model

# What is asserted is asserted of the reference, unless a test says otherwise: other runtimes would
# first convert every test's own weights.
os.environ.setdefault("HRNET_RUNTIME", "torch")
os.environ.setdefault("HRNET_PRECISION", "fp32")
CACHE = TemporaryDirectory(ignore_cleanup_errors=True)
os.environ.setdefault("HRNET_HOME", CACHE.name)


@pytest.fixture(scope="session")
def weights_file(tmp_path_factory):
    """A whole weights file of the packaged model's layout, with random weights."""
    torch.manual_seed(0)
    card = find_model("hrnet_w32_small_coco17").card
    file = tmp_path_factory.mktemp("weights") / "random.safetensors"
    save_model(build_model(card).network, card, file)
    return file


@pytest.fixture
def whole_pictures(monkeypatch):
    """Where nothing else is said, a picture is one person: for tests of what comes after that."""
    monkeypatch.setenv("HRNET_DETECTOR", "whole")


def pytest_collection_modifyitems(items):
    """Slow ones first, the pages' commands before all, those of every other file at the head of
    each half of the list: of two processes each begins with one half, and what the tests of a file
    share is made once."""
    slow, fast = {}, []
    for item in items:
        if item.get_closest_marker("slow") is None:
            fast.append(item)
        else:
            slow.setdefault(item.path.name, []).append(item)
    files = sorted(slow, key=lambda name: name != "test_docs.py")
    first, second = ([item for name in files[n::2] for item in slow[name]] for n in (0, 1))
    cut = max(0, len(items) // 2 - len(first))
    items[:] = [*first, *fast[:cut], *second, *fast[cut:]]
