#!/usr/bin/env bash
# Takes Prometheus's tool out of Debian's package into .tools/, without installing a server. Needs no root; where the
# package cannot be had, nothing is made and the tests of deploy/alerts.yml that need the tool are skipped.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh

if command -v promtool >/dev/null || [[ -x .tools/promtool ]]; then exit 0; fi
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || exit 0
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# apt lets a user of its own write the file, who may not enter a folder of root's.
chmod 755 "$folder"
if ! (cd "$folder" && apt-get download --quiet prometheus >"$folder/log" 2>&1); then
    say "no promtool: $(tail -n 1 "$folder/log"). Alerts are checked without it."
    exit 0
fi
mkdir -p .tools
dpkg-deb --fsys-tarfile "$folder"/prometheus_*.deb | tar --extract --to-stdout ./usr/bin/promtool >"$folder/promtool"
install -m 755 "$folder/promtool" .tools/promtool
