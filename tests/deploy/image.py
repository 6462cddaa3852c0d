"""`make image-test`: the image built, looked into and run, the manifests rendered and validated; exit 1 when one fails.

Needs root, a Debian machine, and SHARED (the folder with the recipes); REAL_DIR is where tools and images are kept.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from sidecar.model import VERSION
from tests.deploy.manifests import KUSTOMIZE, OVERLAYS, documents
from tests.deploy.recipes import CannotRun, Recipes, Unmet
from tests.deploy.serving import serve
from tests.permissions.place import Form

# What checkov may find, and why it stays.
REASONED = {
    "CKV_K8S_11": "no CPU limit: one event loop never takes more than a core, and a limit would only add pauses",
    "CKV_K8S_15": "no imagePullPolicy Always: a sidecar must start again while the registry is away",
    "CKV_K8S_43": "no digest here: the image's registry and digest are named in the overlay of who deploys it",
}
# The example's agent stands for any container; what it answers is not ours to say.
OF_THE_AGENT = {"CKV_K8S_8", "CKV_K8S_9"}
FORBIDDEN = re.compile(
    r"/(pip|pip3|gcc|cc|make|uv|nats-server)$|/(site|dist)-packages/(pip|setuptools|hatchling|nats_server)"
)
COMPILED = ("opt/sidecar/lib", "usr/lib/python3*", "usr/local/lib/python3*")
NOT_COMPILED = re.compile(r"/(test|tests|idlelib|lib2to3|tkinter|turtledemo|config-[^/]+)/")


def main() -> int:
    folder = Path(os.environ.get("SHARED", "../shared")) / "real"
    scratch = Path(os.environ.get("REAL_DIR") or Path(tempfile.gettempdir()) / "connector-sidecar-real").absolute()
    if not folder.is_dir() or os.geteuid() != 0:
        say(f"needs root, and the recipes in {folder} (set SHARED to the folder that holds real/)")
        return 2
    recipes = Recipes(folder.absolute(), scratch)
    try:
        recipes.prepare()
        failed = [name for name, step in _steps(recipes) if not _holds(name, step)]
    except CannotRun as error:
        say(str(error))
        return 2
    say(f"not as it must be: {', '.join(failed)}" if failed else "all as it must be")
    return 1 if failed else 0


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _steps(recipes: Recipes) -> list[tuple[str, Callable[[], list[str]]]]:
    return [
        *((f"manifests {overlay}", lambda overlay=overlay: _manifests(recipes, overlay)) for overlay in OVERLAYS),
        ("Dockerfile", lambda: _built(recipes)),
        ("image", lambda: _image(recipes)),
        ("at work, passwords", lambda: _at_work(recipes, Form.SINGLE, starts=3)),
        ("at work, .creds files", lambda: _at_work(recipes, Form.OPERATOR, starts=1)),
    ]


def _holds(name: str, step: Callable[[], list[str]]) -> bool:
    try:
        for line in step():
            say(f"{name:<26} {line}")
    except Unmet as error:
        say(f"{name:<26} NOT AS IT MUST BE: {error}")
        return False
    return True


def _manifests(recipes: Recipes, overlay: str) -> list[str]:
    """The overlay as it would be applied: every document fits the schemas, and nothing is found that has no reason."""
    rendered = recipes.rendered(KUSTOMIZE / overlay)
    there = len(documents(rendered.read_text(encoding="utf-8")))
    valid = recipes.validate(rendered)
    if valid != there:
        raise Unmet(f"{valid} of {there} documents are valid")
    findings = recipes.findings(rendered)
    new = sorted(
        f"{check} ({resource})"
        for check, resource in findings
        if check not in REASONED and not (check in OF_THE_AGENT and resource.endswith(".agent"))
    )
    if new:
        raise Unmet(f"checkov: {', '.join(new)}")
    known = ", ".join(sorted({check for check, _ in findings}))
    return [f"{there} documents valid (strict); checkov: nothing but what has its reason ({known})"]


def _built(recipes: Recipes) -> list[str]:
    said = recipes.lint().strip()
    if said:
        raise Unmet(f"hadolint: {said}")
    began = time.monotonic()
    recipes.build()
    size, base = recipes.sizes()
    return [f"hadolint: nothing; built in {time.monotonic() - began:.0f} s: {size}, of which the base image {base}"]


def _image(recipes: Recipes) -> list[str]:
    """What the image says of itself, and what is in it."""
    config = recipes.config()
    said = {name: config.get(name) for name in ("User", "Entrypoint", "Cmd", "StopSignal", "Healthcheck")}
    wanted = {"User": "10001:10001", "Entrypoint": ["sidecar"], "Cmd": ["run"], "StopSignal": "SIGTERM"}
    if said != {**wanted, "Healthcheck": None} or config["Labels"]["org.opencontainers.image.version"] != VERSION:
        raise Unmet(f"the image says {said}, version {config['Labels'].get('org.opencontainers.image.version')}")
    with recipes.mounted() as root:
        files = [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
        names = {path: f"/{path.relative_to(root)}" for path in files}
        forbidden = sorted(name for name in names.values() if FORBIDDEN.search(name))
        writable = sorted(
            name for path, name in names.items() if path.stat().st_mode & 0o002 or path.stat().st_uid == 10001
        )
        sources = [
            path
            for pattern in COMPILED
            for folder in root.glob(pattern)
            for path in folder.rglob("*.py")
            if not NOT_COMPILED.search(str(path))
        ]
        slow = sorted(
            names[path] for path in sources if not list((path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"))
        )
        own = sum(path.stat().st_size for path in files if names[path].startswith("/opt/sidecar/"))
    for what, found in (("builders or servers", forbidden), ("files to write", writable), ("not compiled", slow)):
        if found:
            raise Unmet(f"{what} in the image: {', '.join(found[:5])}{' ...' if len(found) > 5 else ''}")
    return [
        f"uid 10001, {len(files)} files, none of them writable; no pip, compiler or nats-server",
        f"{len(sources)} modules, all compiled; ours {own / 1e6:.0f} MB",
    ]


def _at_work(recipes: Recipes, form: Form, *, starts: int) -> list[str]:
    with recipes.mounted() as root:
        return asyncio.run(serve(recipes, root, form, starts))


if __name__ == "__main__":
    sys.exit(main())
