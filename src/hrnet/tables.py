"""Tables (skeletons, model cards, recipes; JSON, YAML): reading, validating, helpful refusals."""

import difflib
import json
import tomllib
from collections.abc import Iterable
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from hrnet.errors import ConfigError, DataError, HRNetError

Model = TypeVar("Model", bound=BaseModel)

# What is raised by content that is JSON, and not what was expected.
MALFORMED = (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError)


def read_table(file: Path | Traversable) -> dict[str, Any]:
    """The content of a TOML file.

    Raises:
        ConfigError: the file is missing or not TOML.
    """
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"there is no file {file}") from None
    except (OSError, ValueError, RecursionError) as error:  # not TOML, not UTF-8, too deep
        raise ConfigError(f"{file} cannot be read as TOML: {error}") from error


def read_json(file: Path, kind: str, error_type: type[HRNetError] = DataError) -> Any:
    """The content of a JSON file.

    Args:
        kind: what to call the file in an error.
        error_type: of the error.

    Raises:
        HRNetError: of `error_type`: the file is missing or not JSON.
    """
    try:
        return json.loads(file.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise error_type(f"there is no {kind} {file}") from None
    except (OSError, ValueError, RecursionError) as error:  # not JSON, not UTF-8, too deep
        raise error_type(f"the {kind} {file} cannot be read as JSON: {error}") from error


def read_yaml(file: Path) -> dict[str, Any]:
    """The content of a YAML file that holds a mapping.

    Raises:
        ConfigError: PyYAML is not installed.
        DataError: the file is missing, not YAML, or no mapping.
    """
    try:
        import yaml  # type: ignore[import-untyped]  # PyYAML has no types
    except ModuleNotFoundError:
        raise ConfigError(f"{file.name} needs pyyaml: pip install 'hrnet[data]'") from None
    try:
        table = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"there is no file {file}") from None
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{file} cannot be read as YAML: {reason}") from None
    if not isinstance(table, dict):
        raise DataError(f"{file} cannot be read as YAML: it holds no names with values")
    return table


def merged(table: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`table` with what `changes` says instead, also within the tables that both hold."""
    result = dict(table)
    for key, value in changes.items():
        both_tables = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both_tables else value
    return result


def validate(model: type[Model], table: Any, where: str) -> Model:
    """The table as a validated `model`.

    Raises:
        ConfigError: names `where`, the first key that is wrong, and the nearest right one.
    """
    try:
        return model.model_validate(table)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            known = _keys_beside(model, first["loc"])
            hint = nearest_names(str(first["loc"][-1]), known)
            raise ConfigError(f"{where}: there is no key {key!r}{hint}") from None
        message = first["msg"].removeprefix("Value error, ")
        message = message[:1].lower() + message[1:]
        raise ConfigError(f"{where}: {f'{key}: ' if key else ''}{message}") from None


def nearest_names(name: object, known: Iterable[str]) -> str:
    """The end of a sentence that refuses `name`: what was probably meant, or what there is."""
    known = sorted(known)
    near = difflib.get_close_matches(str(name), known, n=3, cutoff=0.5)
    if near:
        return f"; did you mean {' or '.join(near)}?"
    return f"; there {'is' if len(known) == 1 else 'are'} {', '.join(known[:12]) or 'none'}"


def _keys_beside(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """The keys that the table at `location`'s parent may have."""
    current: Any = model
    for part in location[:-1]:
        field = getattr(current, "model_fields", {}).get(str(part))
        if field is None:
            continue
        candidates = [field.annotation, *getattr(field.annotation, "__args__", ())]
        current = next(
            (c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), current
        )
    return [field.alias or name for name, field in current.model_fields.items()]
