#!/bin/sh
# Writes tests/unit/data/durations.json, the table that holds controller/duration.py to Go. Needs a Go toolchain.
set -eu
cd "$(dirname "$0")/.."
GO111MODULE=off go run hack/durations/main.go >tests/unit/data/durations.json.new
mv tests/unit/data/durations.json.new tests/unit/data/durations.json
