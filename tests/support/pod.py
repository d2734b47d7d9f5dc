"""A pod without a cluster: the chart's Deployment, run from the image's root file system as a kubelet would run it.

What is kept: the image, its entry point, arguments and variables, the mounted files with their owners and modes, the
user, no capabilities, no new privileges, a root that cannot be written. What is not: a network of its own, limits.
"""

import base64
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.helm import Manifests
from tests.support.nodes import find_program

IMAGE = "localhost/vendetta:ci"
USER = 10001
DRIVERS = ("overlay", "vfs")
"""Where hack/build-image.sh may have put the image."""
_START = """
set -eu
root=$1 user=$2; shift 2
mount --bind "$root" "$root"
while [ "$1" != -- ]; do
    mkdir -p "$root$2"
    mount --bind "$1" "$root$2"
    [ "$3" = rw ] || mount -o remount,ro,bind "$root$2"
    shift 3
done
shift
mount --rbind /proc "$root/proc"
mount -o remount,ro,bind "$root"
exec /usr/sbin/chroot "$root" setpriv --reuid="$user" --regid="$user" --clear-groups \
    --bounding-set=-all --inh-caps=-all --no-new-privs -- "$@"
"""


class Image:
    """The image, in one of buildah's storages."""

    def __init__(self, driver: str) -> None:
        self._environment = {**os.environ, "STORAGE_DRIVER": driver}

    @property
    def config(self) -> Mapping[str, Any]:
        """What it says of itself."""
        config: dict[str, Any] = json.loads(self("inspect", "--type", "image", IMAGE))["Docker"]["config"]
        return config

    @contextmanager
    def root(self) -> Iterator[Path]:
        """Its root file system."""
        container = self("from", IMAGE)
        try:
            yield Path(self("mount", container))
        finally:
            self("rm", container)

    def __call__(self, *arguments: str) -> str:
        """What buildah says to that."""
        line = ["buildah", *arguments]
        return subprocess.run(line, env=self._environment, capture_output=True, text=True, check=True).stdout.strip()

    def exists(self) -> bool:
        """Whether it was built."""
        try:
            self("inspect", "--type", "image", IMAGE)
        except subprocess.CalledProcessError:
            return False
        return True


def find_image() -> Image:
    """The image that was built. Without it the test is skipped; on CI, which builds it, it fails."""
    problem = "to run the image takes buildah, and root"
    if os.geteuid() == 0 and find_program("buildah") is not None:
        if found := next((image for image in map(Image, DRIVERS) if image.exists()), None):
            return found
        problem = f"there is no image: hack/build-image.sh {IMAGE} --from-distribution"
    if os.environ.get("CI"):
        pytest.fail(problem)
    pytest.skip(problem)


class Pod:
    """A pod of the only Deployment. `secrets` has the Secrets that the chart does not make.

    `environment` is what it has to itself: on one network, each needs a port of its own.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        root: Path,
        folder: Path,
        objects: Manifests,
        secrets: Mapping[str, Mapping[str, str]],
        environment: dict[str, str] | None = None,
    ) -> None:
        self._config, self._root, self._folder, self._objects, self._secrets = config, root, folder, objects, secrets
        self._environment = environment or {}
        (deployment,) = [obj for (kind, _), obj in objects.items() if kind == "Deployment"]
        self._spec: dict[str, Any] = deployment["spec"]["template"]["spec"]
        (self._container,) = self._spec["containers"]
        self.log = folder / "pod.log"
        self.volumes = {volume["name"]: self._volume(volume) for volume in self._spec["volumes"]}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The server's process, once it has taken the shell's place."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start the container."""
        assert self._spec["securityContext"]["runAsUser"] == USER
        assert self._container["securityContext"]["readOnlyRootFilesystem"]
        mounts: list[str] = []
        for mount in self._container["volumeMounts"]:
            access = "ro" if mount.get("readOnly") else "rw"
            mounts += [str(self.volumes[mount["name"]]), mount["mountPath"], access]
        environment = dict(item.split("=", 1) for item in self._config["Env"])
        environment |= {item["name"]: item["value"] for item in self._container["env"]} | self._environment
        line = [
            "unshare",
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            _START,
            "pod",
            str(self._root),
            str(USER),
        ]
        line += [*mounts, "--", *self._config["Entrypoint"], *self._container["args"]]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(line, env=environment, stdout=log, stderr=log)

    def kill(self) -> None:
        """SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(20)

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(20)

    def _volume(self, volume: dict[str, Any]) -> Path:
        path: Path = self._folder / "volumes" / volume["name"]
        path.mkdir(parents=True)
        path.chmod(0o755)
        if "configMap" in volume:
            self._fill(path, self._objects["ConfigMap", volume["configMap"]["name"]]["data"], 0o644)
        elif "secret" in volume:
            files = self._secret(volume["secret"]["secretName"])
            if items := volume["secret"].get("items"):
                files = {item["path"]: files[item["key"]] for item in items}
            self._fill(path, files, volume["secret"]["defaultMode"] | 0o040)
        else:
            os.chown(path, USER, USER)
        return path

    def _secret(self, name: str) -> Mapping[str, str]:
        if name in self._secrets:
            return self._secrets[name]
        data = self._objects["Secret", name]["data"]
        return {key: base64.b64decode(value).decode() for key, value in data.items()}

    @staticmethod
    def _fill(path: Path, files: Mapping[str, str], mode: int) -> None:
        """A kubelet gives files to root and to the pod's group."""
        for name, text in files.items():
            (path / name).write_text(text)
            os.chown(path / name, 0, USER)
            (path / name).chmod(mode)
