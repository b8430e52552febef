#!/usr/bin/env bash
# Environments of libraries that cannot live in ours but are tested against: each tests/environments/NAME.txt,
# fully pinned, becomes .venv-NAME. Those of bench/environments/ are measured against, and made only by name.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh

python=$(find_python) || fail "no Python 3.11 or newer with the venv module found"
# Without an argument all of them, else those named.
made=
for pinned in tests/environments/${1:-*}.txt ${1:+bench/environments/$1.txt}; do
    [[ -f $pinned ]] || continue
    name=$(basename "$pinned" .txt)
    FRESH=yes environment ".venv-$name" "$python" "$pinned" -r "$pinned"
    made=yes
done
[[ $made ]] || fail "no list of packages is named ${1:-}.txt in tests/environments or bench/environments"
# The browser is a client too; who asks for one environment by name doesn't need it.
if [[ -z ${1:-} ]] && ! { command -v chromium && command -v chromedriver; } >/dev/null; then
    if [[ $(id -u) -eq 0 ]] && command -v apt-get >/dev/null; then
        say "installing chromium and its driver"
        apt-get update -q
        bash scripts/install-packages.sh chromium chromium-driver
    else
        say "no chromium and chromedriver: tests of pages are skipped. As root: apt-get install chromium chromium-driver"
    fi
fi
# So is Prometheus, of which the tests need the tool that reads alerts.
if [[ -z ${1:-} ]]; then bash scripts/promtool.sh; fi
