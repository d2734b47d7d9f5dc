#!/bin/sh
# A Kubernetes of this one machine, to throw away: for whoever works on the chart.
#
#   hack/cluster.sh up            make it (minutes at first, then half a minute), with the server's image in it
#   hack/cluster.sh run COMMAND…  a command in it: hack/cluster.sh run kubectl get pods --all-namespaces
#   hack/cluster.sh e2e           hack/e2e-cluster.sh in it; with `postgres` behind it, on a PostgreSQL that it starts
#   hack/cluster.sh load IMAGE…   images of buildah's into it
#   hack/cluster.sh down          all of it away
#
# A control plane, a kubelet with containerd, kube-proxy and CoreDNS, in namespaces (mounts, network, processes) of their
# own: nothing of it is reached from outside, it reaches nothing outside, and it goes with its first process. Volumes
# are folders below $TMPDIR; NetworkPolicies have no effect. Needs Linux, root, and Debian's packages buildah,
# containerd, runc and containernetworking-plugins. hack/cluster/tools.sh builds the rest with Go.
set -eu
cd "$(dirname "$0")/.."
here=${TMPDIR:-/tmp}/vendetta-cluster
programs=${XDG_CACHE_HOME:-$HOME/.cache}/vendetta/cluster
image=localhost/vendetta:cluster
node=10.99.0.1
export PATH="$PWD/.venv/bin:$programs:$PATH" KUBECONFIG="$here/kubeconfig" SSH_IMAGE=localhost/vendetta-machine:cluster

say() { echo "==> $1" >&2; }

refuse() {
    echo "hack/cluster.sh: $1" >&2
    exit 1
}

first() { # the process that all others live and die with
    children=$(cat "/proc/$(cat "$here/pid")/task/$(cat "$here/pid")/children" 2>/dev/null) || true
    echo "${children%% *}"
}

is_up() { [ -e "$here/pid" ] && [ -n "$(first)" ]; }

within() {
    is_up || refuse "there is no cluster: hack/cluster.sh up makes one"
    nsenter --target "$(first)" --mount --net --pid --uts --wd="$PWD" "$@"
}

soon() { # a command that succeeds within a minute
    tries=0
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ "$tries" -lt 300 ] || refuse "in vain: $* (the logs are in $here/log)"
        sleep 0.2
    done
}

images() {
    hack/build-image.sh "$image" --from-distribution
    # shellcheck disable=SC1091 # of the machine
    base=localhost/vendetta-base:$(. /etc/os-release && echo "$VERSION_CODENAME")
    export BUILDAH_ISOLATION=chroot BUILDAH_LAYERS=true
    buildah build --quiet --format docker --build-arg BASE="$base" --tag "$SSH_IMAGE" hack/cluster/machine >/dev/null
    buildah build --quiet --format docker --file hack/cluster/pause.Dockerfile --tag localhost/pause:cluster "$programs" >/dev/null
}

load() {
    for name; do
        rm -f "$here/image.tar"
        buildah push --quiet "$name" "docker-archive:$here/image.tar:$name" >/dev/null
        within ctr --namespace k8s.io images import "$here/image.tar" >/dev/null
        rm "$here/image.tar"
    done
}

up() {
    is_up && refuse "it is up"
    [ "$(id -u)" -eq 0 ] || refuse "that takes root"
    for program in buildah containerd runc iptables openssl; do
        command -v "$program" >/dev/null ||
            refuse "$program is missing; on Debian: apt-get install buildah containerd runc containernetworking-plugins iptables"
    done
    hack/cluster/tools.sh "$programs"
    hack/tools.sh
    say "Building images"
    images
    say "Starting"
    rm -rf "$here"
    mkdir -p "$here/log"
    hack/cluster/configure.sh "$here" "$node"
    setsid unshare --mount --net --pid --uts --fork --kill-child --mount-proc \
        hack/cluster/node.sh "$here" "$node" >"$here/log/node" 2>&1 &
    echo $! >"$here/pid"
    soon is_up
    soon within ctr version
    load localhost/pause:cluster "$SSH_IMAGE" "$image"
    soon within kubectl apply --filename "$here/storage.yaml"
    soon within kubectl wait --for=condition=Ready node/node --timeout=1s
    say "Ready: hack/cluster.sh run kubectl get nodes; hack/cluster.sh e2e"
}

down() {
    is_up || return 0
    leaving=$(first)
    kill -KILL "$leaving"
    soon test ! -d "/proc/$leaving"
    rm -rf "$here"
    find /sys/fs/cgroup -depth -type d -path '*/kubepods*' -exec rmdir {} + 2>/dev/null || true
}

e2e() { # on SQLite, or `postgres`
    case ${1:-} in
        "") within hack/e2e-cluster.sh "$image" ;;
        postgres)
            within .venv/bin/python hack/cluster/postgres.py "$here/postgres" "$node" >"$here/log/postgres" 2>&1 &
            soon grep -q '^ready' "$here/log/postgres"
            code=0
            DSN=postgresql://postgres@$node/postgres within hack/e2e-cluster.sh "$image" || code=$?
            within kill "$(sed -n 's/^ready //p' "$here/log/postgres")"
            wait
            rm -rf "$here/postgres"
            return "$code"
            ;;
        *) refuse "$1 is no store: leave it out, or say postgres" ;;
    esac
}

case ${1:-} in
    up | down) "$1" ;;
    load) shift && load "$@" ;;
    run) shift && within "$@" ;;
    e2e) shift && e2e "$@" ;;
    *)
        sed -n '2,8s/^# *//p' "$0" >&2
        exit 2
        ;;
esac
