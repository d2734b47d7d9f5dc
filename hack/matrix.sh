#!/bin/sh
# Every shell x SSH server x login shell x runner, all checks on each: progress, then a table. Needs root (mount namespaces).
#
#   hack/matrix.sh                   everything, about two minutes on two cores
#   hack/matrix.sh bash dropbear perl-runner     only the cells that have all of these
set -eu
cd "$(dirname "$0")/.."
hack/venv.sh dev
exec .venv/bin/python hack/matrix.py "$@"
