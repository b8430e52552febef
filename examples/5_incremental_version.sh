#!/usr/bin/env bash
# A version made of an earlier one and of what changed since: rows that changed are patched, the others are streamed.
set -euo pipefail
base=${1:-1}

# `--dry-run` prints the plan and what it may cost, and does nothing.
matengine run incremental examples --base "$base" --dry-run
matengine run incremental examples --base "$base" --expires-in-days 0 --wait
matengine versions examples
