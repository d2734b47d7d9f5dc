#!/bin/sh
# Install the chart into the cluster that kubectl points at, and see it do its job there: hack/e2e-cluster.sh IMAGE
#
# A server, a pod that offers nothing but SSH, a command on it; an upgrade, a node from changed values, a server that is
# killed while a command runs; and nothing lost. All of it in a namespace of its own, which is removed at the end
# (KEEP=1 keeps it). With DSN, the URL of an empty PostgreSQL database that pods can reach, three servers share that.
#
# Needs: a cluster with a default storage class, helm, kubectl, ssh-keygen, and IMAGE (hack/build-image.sh) where the
# cluster can pull it. SSH_IMAGE is an image with sshd on port 2222 that takes USER_NAME and PUBLIC_KEY.
set -eu
cd "$(dirname "$0")/.."
PATH=$PWD/.venv/bin:$PATH
ssh_image=${SSH_IMAGE:-linuxserver/openssh-server:latest}
namespace=vendetta-e2e-$$

refuse() {
    echo "hack/e2e-cluster.sh: $1" >&2
    exit 2
}

step() { echo "==> $1"; }

[ $# -eq 1 ] || refuse "name the server's image: hack/e2e-cluster.sh example.com/vendetta:0.1.0"
for program in helm kubectl ssh-keygen; do
    command -v "$program" >/dev/null || refuse "$program is missing (hack/tools.sh builds helm, hack/kubectl.sh fetches kubectl)"
done
kubectl --request-timeout=10s get --raw /readyz >/dev/null 2>&1 ||
    refuse "kubectl reaches no cluster: set KUBECONFIG to one where you may make a namespace; kind or k3d will do"

work=$(mktemp -d)
finish() {
    code=$?
    [ "$code" -eq 0 ] || kubectl -n "$namespace" describe pods >&2 || true
    [ -n "${KEEP:-}" ] || kubectl delete namespace "$namespace" --wait=false >/dev/null 2>&1 || true
    rm -rf "$work"
    exit "$code"
}
trap finish EXIT

until_it() { # a command that succeeds in the end; its output is kept, and shown when it never does
    tries=0
    until "$@" >"$work/said" 2>&1; do
        tries=$((tries + 1))
        [ "$tries" -lt 60 ] || { cat "$work/said" >&2; exit 1; }
        sleep 2
    done
}

step "A machine with nothing but SSH"
kubectl create namespace "$namespace" >/dev/null
ssh-keygen -q -t ed25519 -N '' -f "$work/key"
kubectl -n "$namespace" create secret generic deploy-key --from-file=ssh-privatekey="$work/key" >/dev/null
kubectl -n "$namespace" run machine --image="$ssh_image" --port=2222 --expose \
    --env=USER_NAME=deploy --env=PUBLIC_KEY="$(cat "$work/key.pub")" >/dev/null
kubectl -n "$namespace" wait --for=condition=Ready pod/machine --timeout=180s >/dev/null

cat >"$work/values.yaml" <<END
image: {repository: "${1%:*}", tag: "${1##*:}"}
ssh: {credentials: {deploy-key: {existingSecret: deploy-key}}}
nodes:
  machine:
    spec:
      address: machine.$namespace.svc
      port: 2222
      transport: {type: ssh, user: deploy, credentialRef: deploy-key}
END
if [ -n "${DSN:-}" ]; then
    kubectl -n "$namespace" create secret generic database --from-literal=dsn="$DSN" >/dev/null
    echo 'store: {type: postgres, postgres: {existingSecret: database}}' >>"$work/values.yaml"
    echo 'replicaCount: 3' >>"$work/values.yaml"
fi

release() { # further arguments of helm
    helm upgrade --install vendetta charts/vendetta --namespace "$namespace" --values "$work/values.yaml" \
        --wait --timeout 5m "$@" >/dev/null
    is_tested
}
is_tested() { until_it helm test vendetta --namespace "$namespace" --timeout 1m; }
inside() { # a command line of the CLI, run in a server's pod, that asks the Service
    kubectl -n "$namespace" exec deploy/vendetta -- \
        vendetta --server http://vendetta:3001 --token-file /etc/vendetta/auth/auth-token "$@"
}
pods() { kubectl -n "$namespace" get pods -l app.kubernetes.io/name=vendetta -o name | sort; }
says() { # what a command on a node is to print, and the node
    until_it inside exec "$2" -- echo "$1"
    grep -qx "$1" "$work/said"
}

step "The chart, with that machine among its values"
release
kubectl -n "$namespace" get secret vendetta-auth -o jsonpath='{.data}' >"$work/secret"

step "A command"
says "hello from the cluster" machine
inside get commands -o json >"$work/before"

step "An upgrade that restarts the server"
[ -z "${DSN:-}" ] || kubectl -n "$namespace" run asker --image="$1" --restart=Never --command -- python3 -c '
import signal, time, urllib.request
def end(*_): raise SystemExit(0)
signal.signal(signal.SIGTERM, end)
while True:
    urllib.request.urlopen("http://vendetta:3001/health", timeout=5).close()
    time.sleep(0.02)' >/dev/null
release --set config.logging.level=debug
if [ -n "${DSN:-}" ]; then # servers that stop go on for a while: no request has failed
    sleep 10
    kubectl -n "$namespace" wait --for=jsonpath='{.status.phase}'=Running pod/asker --timeout=1s >/dev/null ||
        { kubectl -n "$namespace" logs asker >&2 && exit 1; }
    kubectl -n "$namespace" delete pod asker --now >/dev/null
fi
kubectl -n "$namespace" get secret vendetta-auth -o jsonpath='{.data}' | cmp - "$work/secret"
until_it inside get commands -o json
cmp "$work/said" "$work/before"
says "still there" machine

step "A node that comes with changed values, which restarts nothing"
pods >"$work/pods"
sed 's/^  machine:$/  another:/' "$work/values.yaml" >"$work/another.yaml"
release --set config.logging.level=debug --values "$work/another.yaml"
says "hello again" another
pods | cmp - "$work/pods"

step "Servers that are killed while a command runs"
command=$(inside exec machine --detach --shell 'sleep 10; echo survived')
kubectl -n "$namespace" delete pods -l app.kubernetes.io/name=vendetta --force --grace-period=0 >/dev/null 2>&1
until_it inside wait "$command" --for=condition=Complete --timeout=60s
inside logs "${command#command/}" | grep -qx survived

step "Everything holds: installed, tested, commanded, upgraded, killed, nothing lost"
