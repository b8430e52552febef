#!/usr/bin/env bash
# Builds the manual, in an environment that has Sphinx on top of the package.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh

python=$(find_python) || fail "no Python 3.11 or newer with the venv module found"
environment .venv-docs "$python" "pyproject.toml setup.py" -e '.[docs]'
exec .venv-docs/bin/python -m sphinx -W --keep-going -b html docs docs/_build/html
