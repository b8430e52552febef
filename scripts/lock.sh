#!/usr/bin/env bash
# Pin what the image installs, digests and all, for every Python that the package supports. Keeps pins that still fit;
# UPGRADE=1 takes the newest of everything.
set -euo pipefail
cd "$(dirname "$0")/.."
words=(--universal --generate-hashes --python-version 3.11 --no-header --no-annotate --no-emit-index-url --no-emit-find-links)
[[ -n ${UPGRADE:-} ]] && words+=(--upgrade)
# The build backend is installed from the lock as well.
printf 'setuptools>=77\n' | .venv/bin/uv --quiet pip compile "${words[@]}" --output-file requirements.lock pyproject.toml - >/dev/null
