#!/usr/bin/env bash
# Make a virtual environment with the best interpreter on this machine: tools/create_venv.sh DIRECTORY
#
# Best is `python3` when it is new enough, because that is the one its owner chose; then the newest numbered one.
# Each candidate is really run: version managers leave commands on the PATH that fail when they are called.
set -euo pipefail

venv=$1
candidates=("${PYTHON:-python3}" python3.14 python3.13 python3.12 python3.11)
probe='import sys; print(".".join(map(str, sys.version_info[:3]))); sys.exit(sys.version_info < (3, 11))'
found=()

for candidate in "${candidates[@]}"; do
    command -v "$candidate" >/dev/null || continue
    if ! version=$("$candidate" -c "$probe" 2>/dev/null); then
        found+=("$candidate: ${version:-does not run}${version:+, too old}")
    elif ! "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
        found+=("$candidate: $version, but without venv (on Debian and Ubuntu: apt install python3-venv)")
    else
        echo "making $venv with $candidate ($version)"
        exec "$candidate" -m venv --clear "$venv"
    fi
done

{
    echo "Wirebook needs Python 3.11 or newer with the venv module; on this machine there is:"
    if ((${#found[@]})); then printf '  %s\n' "${found[@]}"; else echo "  no Python at all"; fi
    echo "Install one, or name one: make PYTHON=/path/to/python3 ..."
} >&2
exit 1
