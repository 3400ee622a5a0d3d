#!/usr/bin/env bash
# Make the environment if need be, and run every check and test. Arguments go to pytest.
#
# Tests on real annotated pictures look for them in HRNET_TEST_DATA and are skipped without it.
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy
.venv/bin/lint-imports
# Two tests at a time, each on one thread: faster than one at a time on two.
OMP_NUM_THREADS=1 .venv/bin/pytest -n 2 --dist worksteal "$@"
