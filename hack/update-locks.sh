#!/bin/sh
# Write the lock files anew from pyproject.toml: every version pinned, every file hashed, no index named.
# Usage: hack/update-locks.sh [--upgrade]
set -eu
cd "$(dirname "$0")/.."
uv="$(command -v uv || true)"
if [ -z "$uv" ]; then
    python3 -m venv .venv-uv
    .venv-uv/bin/pip install --quiet uv
    uv=.venv-uv/bin/uv
fi
compile() { # output, then what to compile
    out=$1
    shift
    "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
        --no-header --no-annotate --output-file "$out" "$@"
}
compile hack/locks/build.txt "${1:---quiet}" hack/locks/build.in
compile hack/locks/runtime.txt "${1:---quiet}" pyproject.toml --extra postgres
compile hack/locks/dev.txt "${1:---quiet}" pyproject.toml --group dev
compile hack/locks/schemathesis.txt "${1:---quiet}" hack/locks/schemathesis.in
compile hack/locks/bench.txt "${1:---quiet}" hack/locks/bench.in
