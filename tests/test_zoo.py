"""Models by name, by file and by published file name; `hrnet models` and `hrnet convert`."""

import json
import random
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

import hrnet
from hrnet import ConfigError, HRNetError, WeightsError
from hrnet.cli import app
from hrnet.detection.find import detector_file, list_detectors
from hrnet.tables import merged, read_table, validate
from hrnet.zoo import find_model, find_weights
from hrnet.zoo.build import build_model, convert, cost, save_model
from hrnet.zoo.card import BackboneCard, ModelCard, NetworkCard, read_card

OFFICIAL = "hrnet_w32_coco_256x192_official"
FETCHED = "hrnet_w32_coco_256x192"
PACKAGED = Path(str(files("hrnet.zoo"))) / "packaged" / "hrnet_w32_small_coco17.safetensors"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """An empty cache folder."""
    monkeypatch.setenv("HRNET_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "weights"


@pytest.fixture(scope="module")
def official_file(tmp_path_factory):
    """Weights of the official network's layout under a published name."""
    torch.manual_seed(0)
    network = build_model(find_model(OFFICIAL).card).network
    file = tmp_path_factory.mktemp("official") / "pose_hrnet_w32_256x192.pth"
    torch.save({f"module.{k}": t for k, t in network.state_dict().items()}, file)
    return file


def test_a_published_file_under_its_name_needs_no_other_name(official_file):
    card = find_model(official_file).card
    assert card == find_model(OFFICIAL).card
    model = hrnet.create_model(official_file)
    weights = torch.load(official_file, weights_only=True)
    assert torch.equal(model.network.conv1.weight, weights["module.conv1.weight"])


def test_a_file_that_nothing_says_anything_about_is_refused(official_file, tmp_path):
    file = tmp_path / "mine.pth"
    file.symlink_to(official_file)
    with pytest.raises(ConfigError, match=r"mine.pth does not say how it was trained; .*--as NAME"):
        hrnet.create_model(file)
    assert hrnet.create_model(OFFICIAL, weights=file)  # the name says it


def test_convert_keeps_every_bit_and_writes_the_card(official_file, tmp_path):
    out = tmp_path / "w32.safetensors"
    result = CliRunner().invoke(app, ["convert", str(official_file), str(out)])
    assert result.exit_code == 0, result.output
    assert "1754 entries loaded" in result.output
    assert "upsampling: nearest (as every pose network)" in result.output
    weights = torch.load(official_file, weights_only=True)
    converted = hrnet.create_model(out).network.state_dict()
    assert all(torch.equal(converted[k], weights[f"module.{k}"]) for k in converted)
    card = read_card(out)
    assert card == find_model(OFFICIAL).card.model_copy(update={"weights": None})


def test_what_is_converted_under_a_name_has_not_that_model_s_probabilities(tmp_path):
    """Nor its figures, where it is known to be other weights than those published."""
    own = tmp_path / "own.safetensors"
    packaged = find_model(None).card
    save_model(build_model(packaged).network, packaged, own, dtype=torch.float32)
    convert(own, tmp_path / "as.safetensors", name=packaged.name)
    card = read_card(tmp_path / "as.safetensors")
    assert packaged.calibration is not None
    assert card.calibration is None
    w32 = "hrnet_w32_coco_256x192"
    save_file(hrnet.HighResolutionNet(32, 17).state_dict(), tmp_path / "w32.safetensors")
    convert(tmp_path / "w32.safetensors", tmp_path / "as.safetensors", name=w32)
    assert find_model(w32).card.figures
    assert not read_card(tmp_path / "as.safetensors").figures


def test_a_detector_is_called_one(tmp_path):
    with pytest.raises(WeightsError, match="it is a person detector by hrnet"):
        hrnet.load_weights(hrnet.HighResolutionNet(32, 17), detector_file("auto"))


def test_a_program_of_pytorch_s_is_no_model_to_load():
    with pytest.raises(ConfigError, match=r"pose.pt2 is for programs without hrnet; export"):
        hrnet.PoseEstimator("pose.pt2")


def test_convert_takes_the_name_that_is_given(official_file, tmp_path):
    file, out = tmp_path / "mine.pth", tmp_path / "out.safetensors"
    file.symlink_to(official_file)
    arguments = ["convert", str(file), str(out), "--as"]
    assert CliRunner().invoke(app, [*arguments, "hrnet_w32_coco_256x192_udp"]).exit_code == 0
    assert read_card(out).codec.kind == "udp"
    result = CliRunner().invoke(app, [*arguments, "hrnet_w32_coco_256x192_upd"])
    assert isinstance(result.exception, ConfigError)
    assert "did you mean hrnet_w32_coco_256x192_udp" in str(result.exception)
    result = CliRunner().invoke(app, ["convert", str(file), "out.pth"])
    assert "out.pth must end in .safetensors" in str(result.exception)


def test_files_that_must_be_fetched_by_hand_say_where_to_put_them(home, official_file):
    with pytest.raises(WeightsError) as caught:
        hrnet.create_model(OFFICIAL)
    assert str(caught.value) == (
        "pose_hrnet_w32_256x192.pth has no address to fetch it from: find it by way of "
        "https://github.com/leoxiaobin/deep-high-resolution-net.pytorch and save it as "
        f"{home / 'pose_hrnet_w32_256x192.pth'}"
    )
    home.mkdir(parents=True)
    (home / "pose_hrnet_w32_256x192.pth").symlink_to(official_file)
    assert hrnet.create_model(OFFICIAL)


def test_a_file_in_the_cache_is_checked_and_used_without_a_network(
    home, official_file, monkeypatch
):
    card = find_model(FETCHED).card
    home.mkdir(parents=True)
    (home / card.weights.file).symlink_to(official_file)
    with pytest.raises(WeightsError, match=f"sha256 begins with .*, not {card.weights.sha256};"):
        find_weights(FETCHED)


def test_a_published_name_on_another_file_is_refused(official_file, tmp_path):
    file = tmp_path / find_model(FETCHED).card.weights.file
    file.symlink_to(official_file)
    with pytest.raises(WeightsError, match="is not the file of that name that was published"):
        hrnet.create_model(file)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("https://example.com/x.pth", "does not say what the file should be; add its sha256"),
        ("https://example.com/a%2F%2E%2E%2Fb%00#sha256=0123abcd", "cannot be the name of a file"),
        ("http://127.0.0.1:9/..%2Fx.pth#sha256=0123abcd", None),
        ("hf:name", "is not of the form hf:owner/name"),
        ("hf:../x/y", "is not of the form hf:owner/name"),
        ("hrnet_w32_imagnet", "did you mean hrnet_w32_imagenet"),
    ],
)
def test_names_that_stand_for_no_weights_are_refused(name, message, home):
    if message is None:  # the path cannot leave the cache folder
        with pytest.raises(hrnet.DownloadError) as caught:
            find_weights(name)
        assert str(home / "0123abcd-x.pth") in str(caught.value)
        return
    with pytest.raises(ConfigError, match=message):
        find_weights(name)


def test_files_without_a_card_need_a_name(tmp_path):
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
    with pytest.raises(ConfigError, match=r"x.safetensors does not say how it was trained"):
        hrnet.create_model(tmp_path / "x.safetensors")


@pytest.mark.parametrize(
    ("name", "parameters", "multiply_adds"),
    [
        # The official repository's table: 28.5 M and 63.6 M parameters; multiply-adds counted
        # from its network, which it publishes divided by 2**30.
        ("hrnet_w32_coco_256x192", 28_536_113, 7.645e9),
        ("hrnet_w32_coco_384x288", 28_536_113, 17.201e9),
        ("hrnet_w48_coco_256x192", 63_595_745, 15.692e9),
        ("hrnet_w48_coco_384x288_udp", 63_595_745, 35.307e9),
    ],
)
def test_cost(name, parameters, multiply_adds):
    card = find_model(name).card
    counted = cost(card.network, len(card.skeleton), card.input_size)
    assert counted[0] == parameters
    assert counted[1] == pytest.approx(multiply_adds, rel=1e-4)


def test_show_says_all_there_is_to_know(home):
    result = CliRunner().invoke(app, ["models", "show", "hrnet_w48_coco_384x288_udp"])
    assert result.exit_code == 0, result.output
    card = find_model("hrnet_w48_coco_384x288_udp").card
    for part in (
        "17 (coco17): nose, left_eye",
        "288 x 384 pixels (width x height), boxes padded by 1.25",
        "HRNet-W48, 63.6 M parameters, 35.31 G multiply-adds, nearest upsampling",
        "udp, sigma 3 cells, blur of 11 cells",
        "no shift",
        "COCO train2017",
        "Apache-2.0",
        card.weights.url,
        "70d7ab01...",
        f"no; would be {home / card.weights.file}",
        "0.773",
        "COCO val2017, boxes of a person detector with 56.4 AP, flip test on",
        "hrnet predict PICTURE --model hrnet_w48_coco_384x288_udp",
    ):
        assert part in result.output, part


def test_list_filters(home):
    def names(*arguments):
        result = CliRunner().invoke(app, ["models", "list", *arguments])
        assert result.exit_code == 0, result.output
        return [line.split("\t")[0] for line in result.output.splitlines()]

    assert names("*w48_coco_384*", "--codec", "udp") == ["hrnet_w48_coco_384x288_udp"]
    assert all("mpii" in name for name in names("--skeleton", "mpii16"))
    assert names() == hrnet.list_models() + list_detectors()[1:]  # not "whole", which is no file
    assert names("yolox_?") == ["yolox_s", "yolox_m", "yolox_l", "yolox_x"]
    assert names("*w32_small*") == ["hrnet_w32_small_coco17", "hrnet_w32_small_person"]
    for arguments, message in (
        (["nothing*"], "no model matches"),
        (["--codec", "darc"], "did you mean dark"),
        (["--skeleton", "coco"], "no skeleton 'coco'"),
    ):
        result = CliRunner().invoke(app, ["models", "list", *arguments])
        assert isinstance(result.exception, ConfigError)
        assert message in str(result.exception)


@pytest.mark.parametrize("name", ["yolox_nano", "yolox_s"])
def test_show_says_where_a_detector_comes_from(home, name):
    result = CliRunner().invoke(app, ["models", "show", name])
    assert result.exit_code == 0, result.output
    page = "github.com/Megvii-BaseDetection/YOLOX/releases"
    here = f"no; would be {home / name}.onnx"
    for part in (page, here, "Apache-2.0", f"hrnet predict PICTURE --detector {name}"):
        assert part in result.output, part


def test_download_says_where_the_file_is():
    result = CliRunner().invoke(app, ["models", "download", "hrnet_w32_small*"])
    assert result.exit_code == 0, result.output
    lines = dict(line.split() for line in result.output.splitlines())
    assert list(lines) == ["hrnet_w32_small_coco17", "hrnet_w32_small_person"]
    for name, file in lines.items():
        assert Path(file) == PACKAGED.with_stem(name)


def test_download_of_a_detector_to_fetch_by_hand_says_from_where(home):
    result = CliRunner().invoke(app, ["models", "download", "yolox_s"])
    assert isinstance(result.exception, WeightsError)
    assert f"save it as {home / 'yolox_s.onnx'}" in str(result.exception)


def test_weights_of_another_network_are_refused_by_name(official_file):
    with pytest.raises(WeightsError, match="has 32 channels in its first branch and this one 48"):
        hrnet.create_model("hrnet_w48_coco_256x192", weights=official_file)


def test_random_weights(home):
    torch.manual_seed(0)
    model = hrnet.create_model("hrnet_w32_coco_256x192_udp", weights=None)
    points = model(torch.zeros(1, 256, 192, 3, dtype=torch.uint8))
    assert points.shape == (1, 17, 4)
    assert np.isfinite(points.detach().numpy()).all()


def test_imagenet_initialisations_have_names(home, official_file):
    for name in ("hrnet_w18_imagenet", "hrnet_w32_imagenet", "hrnet_w48_imagenet"):
        card = validate(BackboneCard, read_table(files("hrnet.zoo") / "backbones.toml")[name], name)
        assert f"w{card.base_channel}_" in name
        home.mkdir(parents=True, exist_ok=True)
        (home / card.file).symlink_to(official_file)  # not the file it should be
        with pytest.raises(WeightsError, match=f"not {card.sha256};"):
            find_weights(name)


def test_damaged_cards_are_refused_by_one_sentence(tmp_path):
    """Cards travel in files from anywhere: 400 of them, damaged at random."""
    chance = random.Random(0)
    network = NetworkCard(base_channel=1, num_modules=(1, 1, 1), num_blocks=1, layer1_channels=4)
    card = find_model("hrnet_w48_coco_384x288_udp").card.model_copy(update={"network": network})
    text = card.to_json()
    pieces = ["{", "}", "[", "]", '"', ",", ":", "-1", "1e999", "NaN", "null", "0", "[" * 9999, "é"]
    valid = 0
    for _ in range(400):
        damaged = text
        for _ in range(chance.randint(1, 4)):
            start = chance.randrange(len(damaged))
            end = start + chance.choice([0, 1, 1, 5, 100])
            damaged = damaged[:start] + chance.choice([*pieces, "", ""]) + damaged[end:]
        file = tmp_path / "x.safetensors"
        save_file({"x": torch.zeros(2000)}, file, metadata={"hrnet_card": damaged})
        try:
            card = find_model(file).card
        except HRNetError as error:
            assert "\n" not in str(error)
            assert "x.safetensors" in str(error)
            continue
        valid += 1
        assert len(card.skeleton) > 0
    assert 0 < valid < 200  # some damage is in words that may be anything


def test_sizes_that_a_card_declares_are_bounded(tmp_path):
    """A card must not make a reader allocate more than any network needs."""
    table = json.loads(find_model("hrnet_w32_coco_256x192").card.to_json())
    for change, key in (
        ({"network": {"base_channel": 10**9}}, "network.base_channel"),
        ({"network": {"num_modules": [1, 10**6, 1]}}, "network.num_modules"),
        ({"network": {"num_blocks": 10**6}}, "network.num_blocks"),
        ({"network": {"layer1_channels": 4 * 10**6}}, "network.layer1_channels"),
        ({"network": {"layer1_blocks": 10**6}}, "network.layer1_blocks"),
        ({"input_size": [10**6, 10**6]}, "input_size"),
        ({"codec": {"blur_kernel": 10**6 + 1}}, "codec.blur_kernel"),
    ):
        with pytest.raises(ConfigError, match=key):
            validate(ModelCard, merged(table, change), "card x")


def test_a_card_larger_than_its_file_is_refused_before_anything_is_built(tmp_path):
    """2.7 kB that ask for a network of more parameters than any machine has bytes."""
    network = NetworkCard(base_channel=512, num_modules=(16, 16, 16), num_blocks=16)
    card = find_model("hrnet_w32_coco_256x192").card.model_copy(update={"network": network})
    file = tmp_path / "x.safetensors"
    save_file({"x": torch.zeros(1)}, file, metadata={"hrnet_card": card.to_json()})
    message = "describes a network of over [0-9,]{15} parameters, which a file of [0-9,]+ bytes"
    for read in (find_model, hrnet.create_model, lambda f: hrnet.create_model(f, weights=None)):
        with pytest.raises(WeightsError, match=message):
            read(file)


def test_parameters_that_a_card_is_known_to_need_are_most_of_all_and_never_more():
    for name in hrnet.list_models():
        card = find_model(name).card
        parameters, _ = cost(card.network, len(card.skeleton), (32, 32))
        assert 0.75 < card.network.least_parameters / parameters < 1, name


def test_no_name_is_not_the_packaged_model(weights_file):
    with pytest.raises(ConfigError, match="there is no model ''"):
        find_model("")
    with pytest.raises(ConfigError, match="there are no weights ''"):
        find_weights("")


def test_an_exported_file_has_no_weights_to_load():
    for name in ("x.onnx", "y/x.xml"):
        with pytest.raises(ConfigError, match=f"{name} is an exported file"):
            find_model(name)


def test_a_published_file_name_belongs_to_one_model():
    names = [find_model(name).card.weights.file for name in hrnet.list_models()]
    assert len(set(names)) == len(names)
