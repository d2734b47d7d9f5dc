#!/usr/bin/env bash
# The store's tests on the distribution's PostgreSQL over TLS, and through its PgBouncer in transaction mode.
#
#   hack/postgres.sh             both, side by side
#   hack/postgres.sh -k restart  arguments go to pytest
#
# Needs the packages postgresql and pgbouncer; as root it runs them as the user that the first one makes.
set -euo pipefail
cd "$(dirname "$0")/.."
unset PYTHONDONTWRITEBYTECODE

programs=$(find /usr/lib/postgresql -path '*/bin/initdb' 2>/dev/null | sort -V | tail -n 1)
if [ -z "$programs" ] || ! command -v pgbouncer >/dev/null; then
    echo "hack/postgres.sh needs PostgreSQL and PgBouncer: apt-get install postgresql pgbouncer" >&2
    exit 1
fi
programs=${programs%/initdb}
place=$(mktemp -d /tmp/vnd-pg.XXXXXX)
as=()
if [ "$(id -u)" -eq 0 ]; then
    as=(setpriv --reuid=postgres --regid=postgres --init-groups)
    chown postgres: "$place"
fi

# shellcheck disable=SC2317 # the trap calls it
end() {
    [ ! -s "$place/pooler.pid" ] || kill "$(cat "$place/pooler.pid")" 2>/dev/null || true
    [ ! -s "$place/data/postmaster.pid" ] || "${as[@]}" "$programs/pg_ctl" -D "$place/data" -m immediate stop >/dev/null || true
    rm -rf "$place"
}
trap end EXIT

"${as[@]}" "$programs/initdb" -D "$place/data" -U vendetta -A trust -E UTF8 --locale=C.UTF-8 --no-sync >"$place/initdb.log"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=localhost \
    -addext subjectAltName=IP:127.0.0.1 -keyout "$place/server.key" -out "$place/server.crt" 2>/dev/null
[ ${#as[@]} -eq 0 ] || chown postgres: "$place/server.key"
port=$(.venv/bin/python -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
"${as[@]}" "$programs/pg_ctl" -D "$place/data" -l "$place/server.log" -w -o "-k $place -h 127.0.0.1 -p $port \
    -c max_connections=200 -c ssl=on -c ssl_cert_file=$place/server.crt -c ssl_key_file=$place/server.key" start >/dev/null
"${as[@]}" "$programs/createdb" -h "$place" -p "$port" -U vendetta pooled
cat >"$place/pooler.ini" <<EOF
[databases]
pooled = host=$place port=$port user=vendetta
[pgbouncer]
unix_socket_dir = $place
listen_port = 6432
auth_type = any
pool_mode = transaction
max_client_conn = 500
default_pool_size = 60
pidfile = $place/pooler.pid
logfile = $place/pooler.log
ignore_startup_parameters = extra_float_digits
EOF
"${as[@]}" pgbouncer -q -d "$place/pooler.ini"

tests() { VENDETTA_TEST_POSTGRES=$1 .venv/bin/python -m pytest -q -p no:cacheprovider -k postgres "${@:2}"; }
everything=(tests/contract/store)
# The others look into the database with connections of their own, which a pooler hands to anybody.
general=(tests/contract/store/test_{linearizable,list,machine,output,restart,watch,write}.py)
tls="sslmode=verify-full&sslrootcert=$place/server.crt"
tests "postgresql://vendetta@127.0.0.1:$port/postgres?$tls" "${everything[@]}" "$@" >"$place/direct.txt" 2>&1 &
direct=$!
tests "postgresql://vendetta@/pooled?host=$place&port=6432&pgbouncer=true" "${general[@]}" "$@" >"$place/pooled.txt" 2>&1 &
pooled=$!
held=0
wait "$direct" || held=1
wait "$pooled" || held=1
for way in direct pooled; do
    echo "$way:"
    if [ "$held" -eq 0 ]; then tail -n 1 "$place/$way.txt"; else cat "$place/$way.txt"; fi
done
exit "$held"
