"""The Kubernetes manifests as values: read from the files of the clone, or from what kubectl made of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).parent.parent.parent
KUSTOMIZE = ROOT / "deploy" / "kustomize"
OVERLAYS = ("base", "overlays/shared", "overlays/shared-oauth", "overlays/agent")  # what is rendered and applied
SETTINGS = "connector-sidecar-settings"
Manifest = dict[str, Any]


class Ours(NamedTuple):
    """A container of our image: where it is written, its pod's `spec`, and itself."""

    where: str
    pod: Manifest
    container: Manifest


def documents(text: str) -> list[Manifest]:
    return [document for document in yaml.safe_load_all(text) if document is not None]


def files() -> dict[str, Manifest]:
    """Every YAML file below deploy/kustomize by its path there; each holds one document."""
    return {
        str(path.relative_to(KUSTOMIZE)): yaml.safe_load(path.read_text(encoding="utf-8"))
        for path in sorted(KUSTOMIZE.rglob("*.yaml"))
    }


def ours(manifests: Mapping[str, Manifest]) -> list[Ours]:
    """The containers that run our image."""
    return [
        Ours(where, pod, container)
        for where, manifest in manifests.items()
        if (pod := pod_of(manifest)) is not None
        for container in containers(pod)
        if image_name(container.get("image", "")) == "connector-sidecar"  # patches name none
    ]


def pod_of(manifest: Manifest) -> Manifest | None:
    """The `spec` of the pods that a workload makes; None for what makes none."""
    template = manifest.get("spec", {}).get("template")
    return None if template is None else template["spec"]


def containers(pod: Manifest) -> Iterator[Manifest]:
    yield from pod.get("initContainers", ())
    yield from pod.get("containers", ())


def image_name(image: str) -> str:
    return image.partition("@")[0].rpartition("/")[2].partition(":")[0]


def literals(kustomization: Manifest) -> dict[str, str]:
    """What the ConfigMaps say that a kustomization generates."""
    return dict(
        literal.split("=", 1)
        for generator in kustomization.get("configMapGenerator", ())
        for literal in generator["literals"]
    )


def environment(
    container: Manifest, settings: Mapping[str, str], secrets: Mapping[str, Mapping[str, str]] | None = None
) -> dict[str, str]:
    """The variables of a container, with `settings` for the ConfigMap that it names, and `secrets` by name."""
    values = dict(settings) if "envFrom" in container else {}
    for variable in container.get("env", ()):
        values[variable["name"]] = _value(variable, settings, secrets or {})
    return values


def _value(variable: Manifest, settings: Mapping[str, str], secrets: Mapping[str, Mapping[str, str]]) -> str:
    match variable:
        case {"value": str(value)}:
            return value
        case {"valueFrom": {"configMapKeyRef": {"key": key}}}:
            return settings[key]
        case {"valueFrom": {"secretKeyRef": {"name": name, "key": key}}}:
            return secrets[name][key]
        case _:
            raise ValueError(f"a variable that cannot be understood: {variable}")


@dataclass(frozen=True, slots=True)
class Mount:
    """A folder in a container: a Secret's, or (`secret` None) an empty one."""

    path: str
    secret: str | None


def mounts(pod: Manifest, container: Manifest) -> list[Mount]:
    volumes = {volume["name"]: volume for volume in pod.get("volumes", ())}
    return [
        Mount(mount["mountPath"], volumes[mount["name"]].get("secret", {}).get("secretName"))
        for mount in container.get("volumeMounts", ())
    ]
