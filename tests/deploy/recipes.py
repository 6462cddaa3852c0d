"""The tools that `make image-test` needs, from the recipes of SHARED: installed once, below a scratch folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.deploy.manifests import ROOT

IMAGE = "localhost/connector-sidecar:test"
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
INSTALL_SECONDS = 1_800.0
SECONDS = 900.0


class Unmet(Exception):
    """A promise of the image or of the manifests that is not kept; the text says which."""


class CannotRun(Exception):
    """What the test itself needs is not there. The text says what."""


class Recipes:
    """The two recipes, and what they keep below `scratch`."""

    def __init__(self, folder: Path, scratch: Path) -> None:
        self._folder = folder
        self.scratch = scratch
        self._log = scratch / "image.recipe.log"

    def prepare(self) -> None:
        """Install what is not there: the builder, the linters, and an image for the Dockerfile to start from."""
        self.scratch.mkdir(parents=True, exist_ok=True)
        if shutil.which("buildah") is None or not (self.scratch / "img/venv/bin/hadolint").exists():
            self._needed("image-build.sh", "install")
        if base_image() not in self._buildah("images", "--format", "{{.Name}}:{{.Tag}}"):
            self._needed("image-build.sh", "base")
        if not (self.scratch / "k8s/ckv/bin/checkov").exists():
            self._needed("k8s-lint.sh", "install")

    def build(self) -> None:
        self._image("build")

    def lint(self) -> str:
        return self._image("lint")

    def validate(self, rendered: Path) -> int:
        """How many documents fit the schemas of Kubernetes, strictly. Raises Unmet with what does not fit."""
        return self._run("k8s-lint.sh", "file", str(rendered)).count(" passed for resource ")

    def findings(self, rendered: Path) -> set[tuple[str, str]]:
        """What checkov has against the manifests: each finding's id, and the resource."""
        found: set[tuple[str, str]] = set()
        check = ""
        for line in self._run("k8s-lint.sh", "sec", str(rendered), may_fail=True).splitlines():
            if line.startswith("Check: "):
                check = line.split()[1].rstrip(":")
            elif line.strip().startswith("FAILED for resource: "):
                found.add((check, line.split()[-1]))
        return found

    def rendered(self, folder: Path) -> Path:
        """What `kubectl apply -k` would send, in a file."""
        file = self.scratch / "k8s" / f"{folder.name}.yaml"
        command = [str(self.scratch / "k8s/venv/bin/kubectl"), "kustomize", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        if done.returncode or done.stderr:
            raise Unmet(f"kubectl kustomize {folder}: {done.stderr.strip()}")
        file.write_text(done.stdout, encoding="utf-8")
        return file

    def config(self) -> dict[str, Any]:
        """The image's own configuration (user, entry point, environment, labels)."""
        config: dict[str, Any] = json.loads(self._buildah("inspect", "--type", "image", IMAGE))["OCIv1"]["config"]
        return config

    def sizes(self) -> tuple[str, str]:
        """The size of the image, and of the one that it starts from."""
        lines = self._buildah("images", "--format", "{{.Name}}:{{.Tag}} {{.Size}}").splitlines()
        sizes = dict(line.split(" ", 1) for line in lines)
        return sizes[IMAGE], sizes[base_image()]

    @contextmanager
    def mounted(self) -> Iterator[Path]:
        """The image's files, as a container's root would have them."""
        container = self._buildah("from", "--pull-never", IMAGE).strip()
        try:
            yield Path(self._buildah("mount", container).strip())
            self._buildah("umount", container)
        finally:
            self._buildah("rm", container)

    def _buildah(self, *words: str) -> str:
        store = self.scratch / "img"
        command = [
            "buildah",
            "--root",
            str(store / "store"),
            "--runroot",
            str(store / "run"),
            "--storage-driver",
            "vfs",
        ]
        done = subprocess.run([*command, *words], capture_output=True, text=True, timeout=SECONDS, check=False)
        if done.returncode:
            raise CannotRun(f"buildah {words[0]}: {done.stderr.strip()}")
        return done.stdout

    def _image(self, verb: str) -> str:
        return self._run("image-build.sh", verb, CTX=str(ROOT), DOCKERFILE=str(DOCKERFILE), IMG=IMAGE)

    def _needed(self, recipe: str, verb: str) -> None:
        try:
            self._run(recipe, verb, seconds=INSTALL_SECONDS, BASE_TAG=base_image())
        except Unmet as error:
            raise CannotRun(f"{error}; MIRROR may name a mirror of Debian for debootstrap") from error

    def _run(
        self, recipe: str, verb: str, *words: str, seconds: float = SECONDS, may_fail: bool = False, **environment: str
    ) -> str:
        """What the recipe prints, which is kept in the log too."""
        done = subprocess.run(
            ["bash", self._folder / recipe, verb, *words],
            env={**os.environ, "REAL_DIR": str(self.scratch), **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
            check=False,
        )
        with self._log.open("a", encoding="utf-8") as log:
            log.write(f"== {recipe} {verb} {' '.join(words)}\n{done.stdout}")
        if done.returncode and not may_fail:
            tail = "\n".join(done.stdout.splitlines()[-15:])
            raise Unmet(f"{recipe} {verb} {' '.join(words)} failed; all of it in {self._log}\n{tail}")
        return done.stdout


def base_image() -> str:
    """The image that the Dockerfile starts from."""
    line = next(
        line for line in DOCKERFILE.read_text(encoding="utf-8").splitlines() if line.startswith("ARG PYTHON_IMAGE=")
    )
    return line.partition("=")[2]
