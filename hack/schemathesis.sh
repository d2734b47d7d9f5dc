#!/bin/sh
# Let schemathesis try everything that the OpenAPI document promises, against a server of its own on a free port.
# It lives in .venv-schemathesis, apart from the project's packages. Arguments go to `st run`, for example
#
#   hack/schemathesis.sh --phases fuzzing -n 200
set -eu
cd "$(dirname "$0")/.."
[ -x .venv/bin/vendetta ] || hack/venv.sh runtime
if [ ! -x .venv-schemathesis/bin/st ]; then
    echo "==> Setting up .venv-schemathesis (first time only)"
    "${PYTHON:-python3}" -m venv .venv-schemathesis
    .venv-schemathesis/bin/pip install --quiet --disable-pip-version-check --require-hashes \
        -r hack/locks/schemathesis.txt
fi
place=$(mktemp -d)
server=
finish() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    rm -rf "$place"
}
trap finish EXIT
trap 'exit 130' INT TERM
port=$(.venv/bin/python -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
# Made-up nodes have made-up addresses: nothing is ever connected to.
cat >"$place/coordination.yaml" <<END
server: {host: "127.0.0.1", port: $port}
registry: {provider: "memory"}
logging: {level: "warn"}
transports: {deny_cidrs: ["0.0.0.0/0", "::/0"]}
END
.venv/bin/vendetta coordination start --config "$place/coordination.yaml" >"$place/log" 2>&1 &
server=$!
if ! SCHEMATHESIS_HOOKS=hack/schemathesis_hooks.py .venv-schemathesis/bin/st --config-file hack/schemathesis.toml \
    run "http://127.0.0.1:$port/openapi.json" --wait-for-schema 20 --checks all --exclude-path /ws \
    --request-timeout 30 --continue-on-failure --no-color "$@"; then
    echo "==> The end of the server's log:" >&2
    tail -n 20 "$place/log" >&2
    exit 1
fi
