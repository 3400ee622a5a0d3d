"""Models on Hugging Face's hub: one `model.safetensors` with its card inside, and a page."""

import re
from pathlib import Path

from hrnet.errors import ConfigError, DownloadError
from hrnet.zoo.card import ModelCard, read_card

HUB = "hf:"
_FILE = "model.safetensors"
_ID = re.compile(r"hf:(\w[\w.-]*/\w[\w.-]*)(?:@(\w[\w./-]*))?", re.ASCII)
_MISSING = "{} needs huggingface_hub: pip install 'hrnet[hub]'"


def fetch(name: str) -> Path:
    """The weights file of "hf:owner/name" or "hf:owner/name@revision", in the hub's own cache.

    Raises:
        ConfigError: not such a name, or huggingface_hub is not installed.
        DownloadError: there is no such file, or the hub cannot be reached.
    """
    match = _ID.fullmatch(name)
    if match is None:
        raise ConfigError(f"{name!r} is not of the form hf:owner/name or hf:owner/name@revision")
    try:
        from huggingface_hub import hf_hub_download
    except ModuleNotFoundError:
        raise ConfigError(_MISSING.format(name)) from None
    try:
        return Path(hf_hub_download(match[1], _FILE, revision=match[2]))
    except Exception as error:  # of the library and of its HTTP client, of no common kind
        raise DownloadError(f"{_FILE} of {name} cannot be fetched: {_first_line(error)}") from None


def push(file: str | Path, name: str, *, private: bool = False) -> str:
    """Put a weights file that carries its card on the hub, with a page made from the card.

    Args:
        file: as `hrnet convert` and `hrnet train` write it.
        name: "hf:owner/name"; made if need be, with the account of `hf auth login`.

    Returns:
        The address of the page.

    Raises:
        ConfigError: not such a name, or huggingface_hub is not installed.
        WeightsError: the file is missing or broken, or carries no card.
        DownloadError: the hub refuses, or cannot be reached.
    """
    match = _ID.fullmatch(name)
    if match is None or match[2]:
        raise ConfigError(f"{name!r} is not of the form hf:owner/name")
    card = read_card(Path(file))
    if card is None:
        raise ConfigError(f"{file} carries no model card; hrnet convert writes files that do")
    try:
        from huggingface_hub import CommitOperationAdd, HfApi
    except ModuleNotFoundError:
        raise ConfigError(_MISSING.format("pushing")) from None
    api = HfApi()
    try:
        url = api.create_repo(match[1], private=private, exist_ok=True)
        api.create_commit(
            match[1],
            [
                CommitOperationAdd(_FILE, str(file)),
                CommitOperationAdd("README.md", model_page(card, name).encode()),
            ],
            commit_message=f"{card.name}, by hrnet",
        )
    except Exception as error:  # as above
        raise DownloadError(f"{name} cannot be pushed: {_first_line(error)}") from None
    return str(url)


def model_page(card: ModelCard, name: str) -> str:
    """The page of a model on the hub, in Markdown."""
    lines = [
        "---",
        "library_name: hrnet",
        "pipeline_tag: keypoint-detection",
        "---",
        "",
        f"# {card.name}",
        "",
        card.description,
        "",
        "```python",
        "import hrnet",
        "",
        f'estimator = hrnet.PoseEstimator("{name}")',
        'poses = estimator("photo.jpg")',
        "```",
        "",
        f"- points: {', '.join(card.skeleton.keypoints)}",
        f"- input: {card.input_size[0]} x {card.input_size[1]} pixels (width x height)",
        f"- codec: {card.codec.kind}",
    ]
    lines += [f"- trained on: {card.trained_on}"] if card.trained_on else []
    lines += [f"- licence: {card.licence}"] if card.licence else []
    if card.figures:
        lines += ["", "| figure | value | data | boxes | flip test |", "|---|---|---|---|---|"]
        for f in card.figures:
            flip_test = "on" if f.flip_test else "off"
            lines.append(f"| {f.metric} | {f.value:g} | {f.data} | {f.boxes} | {flip_test} |")
    return "\n".join(lines) + "\n"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
