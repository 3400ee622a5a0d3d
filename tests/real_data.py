import os
from pathlib import Path

import pytest


def real_data(name: str) -> Path:
    """A file of the test data. Without HRNET_TEST_DATA the test is skipped; with it, a missing
    file fails."""
    root = os.environ.get("HRNET_TEST_DATA")
    if not root:
        pytest.skip("HRNET_TEST_DATA names no folder with test data")
    file = Path(root, name)
    assert file.exists(), f"HRNET_TEST_DATA has no {name}"
    return file
