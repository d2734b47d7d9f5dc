#!/bin/sh
# Make .venv from a lock file, with progress; cheap when it is up to date. Usage: hack/venv.sh runtime|dev
set -eu
cd "$(dirname "$0")/.."
lock=hack/locks/$1.txt
python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || {
    echo "Vendetta needs Python 3.11 or newer; set PYTHON to one (found: $("$python" --version 2>&1))." >&2
    exit 1
}
stamp=$(cat hack/locks/build.txt "$lock" pyproject.toml | cksum)
if [ -x .venv/bin/vendetta ] && [ "$(cat .venv/"$1".stamp 2>/dev/null)" = "$stamp" ]; then
    exit 0
fi
echo "==> Setting up .venv (first time only, about half a minute)"
[ -x .venv/bin/pip ] || "$python" -m venv .venv || {
    echo "Python could not make a virtual environment; on Debian: apt-get install python3-venv" >&2
    exit 1
}
.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r hack/locks/build.txt
echo "==> Installing $(grep -c '^[a-z]' "$lock") locked packages"
.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r "$lock"
.venv/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
echo "$stamp" >.venv/"$1".stamp
