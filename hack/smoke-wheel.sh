#!/bin/sh
# Build the wheel, install it into an environment that has nothing else, and do the main job with it from elsewhere.
set -eu
cd "$(dirname "$0")/.."
hack/venv.sh dev
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
.venv/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir "$work" .
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r hack/locks/runtime.txt
"$work/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps "$work"/vendetta-*.whl
cp -r examples hack "$work"
cd "$work"
"$work/venv/bin/python" hack/demo.py --once
