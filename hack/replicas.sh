#!/bin/sh
# Prove by killing things that replicas on one PostgreSQL hand the fleet over: nothing runs twice or is lost, and every
# event is told once. Needs root (for namespaces) and sshd; PostgreSQL comes from a Python package.
#
#   hack/replicas.sh                  ten minutes, three replicas, 300 nodes on ten machines, a new seed
#   hack/replicas.sh --minutes 1 --seed 7 --machines 4 --nodes 40
#   hack/replicas.sh --keep FOLDER    leave the evidence there
set -eu
cd "$(dirname "$0")/.."
hack/venv.sh dev
unset PYTHONDONTWRITEBYTECODE # servers are started again and again, and each would compile everything anew
# Pids and mounts of its own: it cannot hit what is outside, and the kernel ends everything with it.
exec unshare --mount --pid --fork --kill-child --mount-proc .venv/bin/python -m hack.replicas "$@"
