#!/bin/sh
# Build a Kubernetes, etcd, CoreDNS and a program that only pauses into a folder, each once: hack/cluster/tools.sh FOLDER
set -eu
cd "$(dirname "$0")"
folder=$1 kubernetes=1.37.2 etcd=v3.6.6 coredns=v1.14.7
mkdir -p "$folder"

missing() { # program, version: whether it has to be built
    ln -sf "$1-$2" "$folder/$1"
    [ -x "$folder/$1-$2" ] && return 1
    command -v go >/dev/null || {
        echo "Building $1 needs Go 1.26 or newer, which is not here: put its bin folder on the PATH." >&2
        exit 1
    }
    echo "==> Building $1 $2 (minutes, once a machine)" >&2
}

build() { # program, version, package, flags of the linker; the module on standard input
    place=$(mktemp -d)
    cat >"$place/go.mod"
    (cd "$place" && CGO_ENABLED=0 GOFLAGS="-mod=mod -buildvcs=false" go build -ldflags "-s -w ${4:-}" -o "$folder/$1.new" "$3")
    rm -r "$place"
    mv "$folder/$1.new" "$folder/$1-$2"
}

of_kubernetes() { # its own parts are modules of their own, one version each
    printf 'module build\ngo 1.26\nrequire k8s.io/kubernetes v%s\nreplace (\n' "$kubernetes"
    GOFLAGS=-mod=mod go mod download -json "k8s.io/kubernetes@v$kubernetes" | sed -n 's/^\t"GoMod": "\(.*\)",$/\1/p' |
        xargs sed -n "s#^\t\(k8s.io/[a-z-]*\) => ./staging/.*#\t\1 => \1 v0.${kubernetes#1.}#p"
    echo ')'
}

for program in kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl; do
    missing "$program" "v$kubernetes" || continue
    version=k8s.io/component-base/version
    of_kubernetes | build "$program" "v$kubernetes" "k8s.io/kubernetes/cmd/$program" \
        "-X $version.gitVersion=v$kubernetes -X $version.gitMajor=1 -X $version.gitMinor=$(echo "$kubernetes" | cut -d. -f2)"
done
if missing etcd "$etcd"; then
    printf 'module build\ngo 1.26\nrequire go.etcd.io/etcd/server/v3 %s\n' "$etcd" | build etcd "$etcd" go.etcd.io/etcd/server/v3
fi
if missing coredns "$coredns"; then
    printf 'module build\ngo 1.26\nrequire github.com/coredns/coredns %s\n' "$coredns" |
        build coredns "$coredns" github.com/coredns/coredns
fi
if missing pause 1; then
    CGO_ENABLED=0 go build -ldflags '-s -w' -o "$folder/pause-1" pause.go
fi
