#!/bin/sh
# Set up and run every test. What this machine lacks (sshd, dropbear, busybox, …) is skipped by name.
#
#   hack/test.sh                 everything
#   hack/test.sh tests/unit -k …  arguments go to pytest
set -eu
cd "$(dirname "$0")/.."
hack/venv.sh dev
unset PYTHONDONTWRITEBYTECODE # some hundred servers are started, and each would compile everything anew
exec .venv/bin/python -m pytest "$@"
