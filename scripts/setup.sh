#!/usr/bin/env bash
# Brings the machine to where `make demo` and `make test` can start: system packages, then .venv with the package.
# Run it as often as you like; what is there already is left alone.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh

# What is missing, as one word each. The commands are looked for where Debian keeps them outside PATH, too.
missing_parts() {
    local -a servers=()
    mapfile -t servers < <(compgen -G '/usr/lib/postgresql/*/bin/postgres' || command -v postgres || true)
    [[ ${#servers[@]} -gt 0 ]] || echo postgresql
    local share
    share=$(compgen -G '/usr/share/postgresql/*/extension/postgis.control' || compgen -G '/usr/*/share/postgresql*/extension/postgis.control' || true)
    [[ -n $share ]] || echo postgis
    command -v redis-server >/dev/null || echo redis
    command -v setpriv >/dev/null || echo setpriv
    find_python >/dev/null || echo python
}

# The Debian package that brings a part. PostGIS is packaged once per PostgreSQL version, so its name is looked up.
package_for() {
    case $1 in
        postgresql) echo postgresql ;;
        postgis) postgis_package ;;
        redis) echo redis-server ;;
        setpriv) echo util-linux ;;
        python) echo python3 python3-venv ;;
    esac
}

postgis_package() {
    local version
    # The newest server installed, else the version the distribution would install.
    version=$(compgen -G '/usr/lib/postgresql/*/bin/postgres' | cut -d/ -f5 | sort -V | tail -n 1 || true)
    if [[ -z $version ]] && command -v apt-cache >/dev/null; then
        version=$(apt-cache depends postgresql 2>/dev/null | sed -n 's/^ *Depends: postgresql-\([0-9][0-9]*\)$/\1/p' | tail -n 1)
    fi
    echo "postgresql-${version:-15}-postgis-3"
}

packages_for() {
    local part
    for part in "$@"; do package_for "$part"; done | tr ' ' '\n' | sort -u | paste -sd ' '
}

# How to become root without asking: nothing for root, sudo where it needs no password.
privilege() {
    if [[ $(id -u) -eq 0 ]]; then echo env
    elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then echo sudo -n
    else return 1
    fi
}

install_packages() {
    local -a as_root parts=("$@")
    if ! command -v apt-get >/dev/null; then
        fail "missing: ${parts[*]}. Install PostgreSQL 15 or newer with PostGIS, redis-server and Python 3.11 or newer."
    fi
    read -ra as_root <<<"$(privilege)" || true
    if [[ ${#as_root[@]} -eq 0 ]]; then
        fail "missing: ${parts[*]}. As root: apt-get install --no-install-recommends $(packages_for "${parts[@]}")"
    fi
    say "installing ${parts[*]}"
    # After the update, because an empty index knows no version of PostGIS.
    "${as_root[@]}" apt-get update -q
    "${as_root[@]}" bash scripts/install-packages.sh $(packages_for "${parts[@]}")
}

mapfile -t missing < <(missing_parts)
if [[ ${#missing[@]} -gt 0 ]]; then
    install_packages "${missing[@]}"
    mapfile -t missing < <(missing_parts)
    [[ ${#missing[@]} -eq 0 ]] || fail "still missing after the installation: ${missing[*]}"
fi
python=$(find_python) || fail "no Python 3.11 or newer with the venv module found"
environment .venv "$python" "pyproject.toml setup.py" -e '.[test]'
