#!/bin/sh
# Look at the code without running it: format, lint, types, import contracts, and files that follow from others.
set -eu
cd "$(dirname "$0")/.."
hack/venv.sh dev
PATH=.venv/bin:$PATH
ruff format --check .
ruff check .
mypy
lint-imports
for script in update-configuration-docs update-chart update-dashboards; do
    python "hack/$script.py" --check
done
