#!/bin/sh
# Show the main job on this machine: a server, a throw-away SSH node, a command sent to it and its result.
#
#   hack/run.sh          leave the server up until Ctrl-C
#   hack/run.sh --once   stop after the demonstration; exit 0 only if the command's output was right
set -eu
cd "$(dirname "$0")/.."
hack/venv.sh runtime
exec .venv/bin/python hack/demo.py "$@"
