#!/bin/sh
# Look at the code without running it: format, lint, types, import contracts.
set -eu
cd "$(dirname "$0")/.."
hack/venv.sh dev
PATH=.venv/bin:$PATH
ruff format --check .
ruff check .
mypy
lint-imports
