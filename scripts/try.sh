#!/usr/bin/env bash
# Make the environment if need be, and find the joints in the sample photograph.
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
.venv/bin/hrnet predict sample --out predictions
