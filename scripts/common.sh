# Sourced by the other scripts: messages, a Python that will do, and virtual environments stamped by what made them.

say() { printf 'setup: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

# A Python of 3.11 or newer that can make virtual environments. Each is tried, not only found: a version
# manager's shim stands on PATH for versions that are switched off.
find_python() {
    local name
    for name in ${PYTHON:-} python3.12 python3.11 python3 python3.13 python3.14; do
        if "$name" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            command -v "$name"
            return 0
        fi
    done
    return 1
}

# environment FOLDER PYTHON FILES PIP-ARGUMENTS...: make FOLDER and install into it, unless FILES (blank-separated)
# and the Python are those of the last time. With FRESH=yes nothing of an earlier content stays.
environment() {
    local folder=$1 python=$2 files=$3 stamp
    shift 3
    stamp=$(stamp_of "$python" "$files" "$@")
    [[ -x $folder/bin/python && $(cat "$folder/.stamp" 2>/dev/null) == "$stamp" ]] && return 0
    say "making $folder with $("$python" --version)"
    rm -f "$folder/.stamp"
    # One that was made elsewhere or by another Python is of no use; pip would mix the two.
    if [[ ${FRESH:-} == yes ]] || ! same_python "$folder" "$python"; then rm -rf "$folder"; "$python" -m venv "$folder"; fi
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
    echo "$stamp" >"$folder/.stamp"
}

stamp_of() {
    local python=$1 files=$2
    shift 2
    {
        "$python" -c 'import sys; print(sys.version)'
        # shellcheck disable=SC2086
        cat $files
        echo "$PWD" "$@"
        # An editable installation knows the packages that stood here when it was made, no later ones.
        if [[ $1 == -e ]]; then compgen -G '*/__init__.py' || true; fi
    } | sha256sum | cut -d' ' -f1
}

same_python() {
    local print_version='import sys; print(sys.version)'
    [[ -x $1/bin/python && $("$1/bin/python" -c "$print_version" 2>/dev/null) == "$("$2" -c "$print_version")" ]]
}
