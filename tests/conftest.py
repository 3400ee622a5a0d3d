import pytest
import torch

from hrnet.zoo import find_model
from hrnet.zoo.build import build_model, save_model


@pytest.fixture(scope="session")
def weights_file(tmp_path_factory):
    """A whole weights file of the packaged model's layout, with random weights."""
    torch.manual_seed(0)
    card = find_model("hrnet_w32_small_coco17").card
    file = tmp_path_factory.mktemp("weights") / "random.safetensors"
    save_model(build_model(card).network, card, file)
    return file


def pytest_collection_modifyitems(items):
    """Slow ones first, so that of two processes neither is left with one of them at the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
