#!/usr/bin/env bash
# Environments of libraries that cannot live in ours but are tested against: each tests/environments/NAME.txt,
# fully pinned, becomes .venv-NAME.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh

python=$(find_python) || fail "no Python 3.11 or newer with the venv module found"
# Without an argument all of them, else those named.
for pinned in tests/environments/${1:-*}.txt; do
    name=$(basename "$pinned" .txt)
    FRESH=yes environment ".venv-$name" "$python" "$pinned" -r "$pinned"
done
