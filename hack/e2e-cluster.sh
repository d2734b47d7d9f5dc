#!/bin/sh
# Install the chart into the cluster that kubectl points at, and see it do its job there: hack/e2e-cluster.sh IMAGE
#
# A server, a pod that offers nothing but SSH, a command on it, an upgrade, and nothing lost. All of it in a namespace
# of its own, which is removed at the end (KEEP=1 keeps it).
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

step "A machine with nothing but SSH"
kubectl create namespace "$namespace"
ssh-keygen -q -t ed25519 -N '' -f "$work/key"
kubectl -n "$namespace" create secret generic deploy-key --from-file=ssh-privatekey="$work/key"
kubectl -n "$namespace" run machine --image="$ssh_image" --port=2222 --expose \
    --env=USER_NAME=deploy --env=PUBLIC_KEY="$(cat "$work/key.pub")"
kubectl -n "$namespace" wait --for=condition=Ready pod/machine --timeout=180s

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
release() { # further arguments of helm
    helm upgrade --install vendetta charts/vendetta --namespace "$namespace" --values "$work/values.yaml" \
        --wait --timeout 5m "$@" >/dev/null
    helm test vendetta --namespace "$namespace" --timeout 3m >/dev/null
}
inside() { # a command line of the CLI, run in the server's pod
    kubectl -n "$namespace" exec deploy/vendetta -- \
        vendetta --server http://127.0.0.1:3001 --token-file /etc/vendetta/auth/auth-token "$@"
}

step "The chart, with that machine among its values"
release
kubectl -n "$namespace" get secret vendetta-auth -o jsonpath='{.data}' >"$work/secret"

step "A command"
tries=0
until inside exec machine -- echo hello from the cluster >"$work/said" 2>"$work/error"; do
    tries=$((tries + 1))
    [ "$tries" -lt 30 ] || { cat "$work/error" >&2; exit 1; }
    sleep 2
done
grep -qx 'hello from the cluster' "$work/said"
inside get commands -o json >"$work/before"

step "An upgrade that restarts the server"
release --set config.logging.level=debug
kubectl -n "$namespace" get secret vendetta-auth -o jsonpath='{.data}' | cmp - "$work/secret"
inside get commands -o json | cmp - "$work/before"
inside exec machine -- echo still there | grep -qx 'still there'

step "Everything holds: installed, tested, commanded, upgraded, nothing lost"
