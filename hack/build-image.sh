#!/bin/sh
# Build the server's image: hack/build-image.sh NAME:TAG [--from-distribution]
#
# With docker, podman or buildah, whichever works here (ENGINE names one). BASE is the image that it starts from, as in
# the Dockerfile. --from-distribution makes that base from the packages of the Debian that runs here, with mmdebstrap:
# no image registry is asked for anything. Needs buildah and root then.
#
# The same commit on the same base gives the same layers, made anew with BUILDAH_LAYERS=false: every file is as old as
# the commit, and every package is locked by its hash.
set -eu
cd "$(dirname "$0")/.."
[ $# -ge 1 ] || {
    echo "usage: hack/build-image.sh NAME:TAG [--from-distribution]" >&2
    exit 2
}
name=$1
version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
revision=$(git rev-parse HEAD 2>/dev/null || true)
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
export SOURCE_DATE_EPOCH

works() {
    case $1 in
        docker) docker info >/dev/null 2>&1 ;;
        *) command -v "$1" >/dev/null ;;
    esac
}

engine=${ENGINE:-}
[ "${2:-}" != --from-distribution ] || engine=buildah
for candidate in docker podman buildah; do
    [ -n "$engine" ] || ! works "$candidate" || engine=$candidate
done
works "${engine:-none}" || {
    echo "hack/build-image.sh: no ${engine:-docker, podman or buildah} works here; on Debian: apt-get install buildah" >&2
    exit 1
}

if [ "$engine" = buildah ]; then # also in a container, where little may be mounted and nothing namespaced
    if [ -z "${STORAGE_DRIVER:-}" ]; then
        STORAGE_DRIVER=vfs
        ! buildah --storage-driver overlay info >/dev/null 2>&1 || STORAGE_DRIVER=overlay
    fi
    export STORAGE_DRIVER BUILDAH_ISOLATION="${BUILDAH_ISOLATION:-chroot}" BUILDAH_LAYERS="${BUILDAH_LAYERS:-true}"
fi

base_of_distribution() { # the name of an image of this Debian's python3, made once
    # shellcheck disable=SC1091 # of the machine
    suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
    root=${XDG_CACHE_HOME:-$HOME/.cache}/vendetta/python-$suite.tar
    if [ ! -e "$root" ]; then
        command -v mmdebstrap >/dev/null || {
            echo "hack/build-image.sh: mmdebstrap is missing; on Debian: apt-get install mmdebstrap" >&2
            exit 1
        }
        echo "==> Making a root file system of $suite (a minute, once a machine)" >&2
        mkdir -p "${root%/*}"
        # shellcheck disable=SC2016 # for the hook's shell
        mmdebstrap --quiet --variant=minbase --include=python3 \
            --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
            --dpkgopt='path-exclude=/usr/share/locale/*' \
            --customize-hook='rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/* "$1"/var/log/*' \
            "$suite" "$root.new" >&2
        mv "$root.new" "$root"
    fi
    base=localhost/vendetta-base:$suite
    buildah inspect --type image "$base" >/dev/null 2>&1 || {
        container=$(buildah from scratch)
        buildah add --quiet "$container" "$root" / >/dev/null
        buildah commit --quiet --rm --timestamp 0 "$container" "$base" >/dev/null
    }
    echo "$base"
}

[ "${2:-}" != --from-distribution ] || BASE=$(base_of_distribution)

set -- --build-arg VERSION="$version" --build-arg REVISION="$revision" \
    --build-arg CREATED="$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)" \
    --build-arg SOURCE_DATE_EPOCH="$SOURCE_DATE_EPOCH"
[ -z "${BASE:-}" ] || set -- "$@" --build-arg BASE="$BASE"
if [ "$engine" != docker ]; then
    set -- "$@" --format docker --timestamp "$SOURCE_DATE_EPOCH" # OCI's own format has no HEALTHCHECK
    authorities=/etc/ssl/certs/ca-certificates.crt
    if [ -e "$authorities" ]; then # a network that looks into TLS has an authority of its own
        set -- "$@" --volume "$authorities:/run/authorities.crt:ro" --build-arg PIP_CERT=/run/authorities.crt
    fi
fi
echo "==> Building $name with $engine" >&2
"$engine" build "$@" --tag "$name" . >&2
