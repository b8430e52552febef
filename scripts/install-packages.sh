#!/usr/bin/env bash
# Installs Debian packages as root without leaving servers running that nobody asked for: no main cluster of
# PostgreSQL, no Redis. The two rules that see to it are taken back at the end; a machine's own are left alone.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive

cluster_rule=/etc/postgresql-common/createcluster.d/matengine.conf
start_rule=/usr/sbin/policy-rc.d
ours=()
had_redis=$(command -v redis-server || true)

cleanup() {
    for file in "${ours[@]}"; do rm -f "$file"; done
}
trap cleanup EXIT

rule() { # FILE MODE TEXT
    [[ -e $1 ]] && return 0
    mkdir -p "$(dirname "$1")"
    printf '%s\n' "$3" >"$1"
    chmod "$2" "$1"
    ours+=("$1")
}

rule "$start_rule" 755 '#!/bin/sh
exit 101'
rule "$cluster_rule" 644 'create_main_cluster = false'
apt-get install --yes --quiet --no-install-recommends "$@"
# Installed for private instances only, so it shall not start with the machine either.
if [[ -z $had_redis ]] && command -v systemctl >/dev/null; then
    systemctl disable --quiet redis-server 2>/dev/null || true
fi
