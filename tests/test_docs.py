"""What the documents say of the models is what the cards say."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
spec = importlib.util.spec_from_file_location("tables", ROOT / "docs" / "make_model_tables.py")
make_model_tables = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make_model_tables)


@pytest.mark.slow
def test_the_tables_of_models_are_up_to_date():
    for name, text in make_model_tables.pages().items():
        assert (ROOT / name).read_text(encoding="utf-8") == text, (
            f"{name} is not what the cards say; run python docs/make_model_tables.py"
        )
