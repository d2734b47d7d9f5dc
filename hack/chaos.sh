#!/bin/sh
# Prove by killing things that nothing runs twice, is lost or arrives changed. Needs root (for namespaces) and sshd.
#
#   hack/chaos.sh                     ten minutes, a new seed
#   hack/chaos.sh --minutes 2 --seed 7 --nodes 4
#   hack/chaos.sh --keep FOLDER       leave the evidence there
set -eu
cd "$(dirname "$0")/.."
hack/venv.sh dev
unset PYTHONDONTWRITEBYTECODE # some hundred servers are started, and each would compile everything anew
# Pids and mounts of its own: it cannot hit what is outside, and the kernel ends everything with it.
exec unshare --mount --pid --fork --kill-child --mount-proc .venv/bin/python -m hack.chaos "$@"
