"""What the Kubernetes manifests must say, read from the files of this clone; `make image-test` runs them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from sidecar.cli import COMMANDS
from sidecar.core.egress import REFUSED
from sidecar.http import operations
from sidecar.model import VERSION
from sidecar.permissions import Holder, Role
from sidecar.settings import load_settings, unknown_names
from tests.deploy.manifests import (
    KUSTOMIZE,
    OVERLAYS,
    ROOT,
    SETTINGS,
    Ours,
    containers,
    environment,
    files,
    literals,
    mounts,
    ours,
    pod_of,
)

FILES = files()
OURS = {one.where: one for one in ours(FILES)}
SETUP, SHARED, BESIDE = (
    OURS["base/setup-job.yaml"],
    OURS["overlays/shared/deployment.yaml"],
    OURS["components/sidecar/pod.yaml"],
)
SERVING = [SHARED, BESIDE]
BASE, AGENT = (literals(FILES[f"{place}/kustomization.yaml"]) for place in ("base", "overlays/agent"))
SETTINGS_OF = {SETUP.where: BASE, SHARED.where: BASE, BESIDE.where: AGENT}
STATE = "/var/lib/connector-sidecar"
DEFAULT_PERIOD = 30  # seconds. https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination
each = pytest.mark.parametrize("one", OURS.values(), ids=OURS)
serving = pytest.mark.parametrize("one", SERVING, ids=lambda one: one.where)


def test_three_containers_are_ours() -> None:
    """One sets up, one serves all tenants, one serves beside an agent: the tests below speak of every one of them."""
    assert sorted(OURS) == ["base/setup-job.yaml", "components/sidecar/pod.yaml", "overlays/shared/deployment.yaml"]


def test_every_file_is_used_and_every_file_used_is_there() -> None:
    """A manifest that no kustomization names would be maintained and never applied."""
    named = {
        str((KUSTOMIZE / place).parent.joinpath(path).resolve())
        for place, kustomization in FILES.items()
        if place.endswith("kustomization.yaml")
        for path in _named(kustomization)
    }
    used = {str(KUSTOMIZE / place) for place in FILES if not place.endswith("kustomization.yaml")}
    assert {path for path in named if path.endswith(".yaml")} == used
    folders = {path for path in named if not path.endswith(".yaml")}
    assert {f"{folder}/kustomization.yaml" for folder in folders} <= {str(KUSTOMIZE / place) for place in FILES}
    kustomizations = {place.removesuffix("/kustomization.yaml") for place in FILES if "kustomization" in place}
    parts = ("sidecar", "network", "nats-password", "oauth-apps", "connect")
    assert kustomizations == {*OVERLAYS, *(f"components/{part}" for part in parts)}


def _named(kustomization: dict[str, Any]) -> Iterator[str]:
    yield from kustomization.get("resources", ())
    yield from kustomization.get("components", ())
    yield from (patch["path"] for patch in kustomization.get("patches", ()))


@each
def test_settings_are_settings(one: Ours, tmp_path: Path) -> None:
    """Every SIDECAR_* variable is one that the sidecar knows, with a value that it accepts."""
    values = environment(one.container, SETTINGS_OF[one.where])
    assert unknown_names(values) == []
    load_settings(values, tmp_path)


@each
def test_settings_come_from_one_place(one: Ours) -> None:
    """`setup` makes what the others check, so all read the ConfigMap that holds NATS and its replicas."""
    assert one.container["envFrom"] == [{"configMapRef": {"name": SETTINGS}}]
    assert {"SIDECAR_NATS_URL", "SIDECAR_REPLICAS"} <= SETTINGS_OF[one.where].keys()


@pytest.mark.parametrize(("one", "command"), [(SETUP, "setup"), (SHARED, "run"), (BESIDE, "run")])
def test_arguments_are_a_command(one: Ours, command: str) -> None:
    assert one.container["args"] == [command]
    assert command in COMMANDS


def test_who_serves_whom(tmp_path: Path) -> None:
    """Shared: every tenant, a folder of keys. Beside an agent: one tenant, which must be named, and its key alone."""
    shared = load_settings(environment(SHARED.container, BASE), tmp_path)
    assert (shared.tenant, shared.kek_file) == (None, None)
    assert shared.kek_dir is not None
    beside = load_settings(environment(BESIDE.container, AGENT), tmp_path)
    assert (beside.tenant, beside.kek_dir) == ("acme", None)
    assert beside.kek_file is not None
    tenant = next(variable for variable in BESIDE.container["env"] if variable["name"] == "SIDECAR_TENANT")
    assert tenant["valueFrom"] == {"configMapKeyRef": {"name": SETTINGS, "key": "SIDECAR_TENANT"}}


@each
def test_named_files_are_in_mounted_secrets(one: Ours, tmp_path: Path) -> None:
    """A credential or key is read from a folder that a Secret fills; what is mounted is named by a setting."""
    settings = load_settings(environment(one.container, SETTINGS_OF[one.where]), tmp_path)
    secrets = {mount.path for mount in mounts(one.pod, one.container) if mount.secret is not None}
    named = [settings.nats_creds, settings.kek_file, settings.kek_dir and f"{settings.kek_dir}/default"]
    assert {str(Path(file).parent) for file in named if file is not None} == secrets


@pytest.mark.parametrize(
    ("one", "holder"),
    [
        (SETUP, Holder(role=Role.ADMIN, name="setup")),
        (SHARED, Holder(role=Role.SHARED_SIDECAR, name="sidecar")),
        (BESIDE, Holder(role=Role.SCOPED_SIDECAR, name="sidecar", tenant="acme")),
    ],
)
def test_replies_come_where_nats_lets_them(one: Ours, holder: Holder, tmp_path: Path) -> None:
    """Each has the inbox that the shipped NATS configurations give to its role."""
    settings = load_settings(environment(one.container, SETTINGS_OF[one.where]), tmp_path)
    assert settings.inbox_prefix == holder.inbox


@pytest.mark.parametrize(
    ("file", "one"), [("setup", SETUP), ("shared", SHARED), ("beside", BESIDE)], ids=["setup", "shared", "beside"]
)
def test_a_password_takes_the_place_of_a_creds_file(file: str, one: Ours) -> None:
    """The URL with the login comes from the same Secret; file, mount and volume go."""
    pod = pod_of(FILES[f"components/nats-password/{file}.yaml"])
    assert pod is not None
    container = next(containers(pod))
    before = {volume["name"]: volume.get("secret", {}).get("secretName") for volume in one.pod["volumes"]}
    volume = pod["volumes"][0]["name"]
    assert container["name"] == one.container["name"]
    assert container["env"] == [
        {"name": "SIDECAR_NATS_URL", "valueFrom": {"secretKeyRef": {"name": before[volume], "key": "url"}}},
        {"name": "SIDECAR_NATS_CREDS", "$patch": "delete"},
    ]
    mounted = {mount["name"]: mount["mountPath"] for mount in one.container["volumeMounts"]}
    assert container["volumeMounts"] == [{"mountPath": mounted[volume], "$patch": "delete"}]
    assert pod["volumes"] == [{"name": volume, "$patch": "delete"}]


@serving
def test_what_is_written_is_written_to_the_state_folder(one: Ours) -> None:
    """Where there is something to keep between two starts, an empty folder takes it; nothing else can be written."""
    writable = [mount["mountPath"] for mount in one.container["volumeMounts"] if not mount.get("readOnly")]
    variables = {variable["name"]: variable.get("value") for variable in one.container["env"]}
    assert writable == [variables["SIDECAR_STATE_DIR"]] == [STATE]


@each
def test_no_key_where_none_is_needed(one: Ours) -> None:
    """The admin login is mounted by the setup Job alone, and no key with it."""
    secrets = {mount.secret for mount in mounts(one.pod, one.container)} - {None}
    assert ("connector-sidecar-nats-admin" in secrets) == (one is SETUP)
    assert (secrets == {"connector-sidecar-nats-admin"}) == (one is SETUP)


def test_no_secret_is_in_the_repository() -> None:
    """Secrets are named, never written: no Secret, no generator of one, no login in a URL."""
    for place, manifest in FILES.items():
        assert manifest["kind"] != "Secret", place
        assert "secretGenerator" not in manifest, place
        assert "@" not in literals(manifest).get("SIDECAR_NATS_URL", ""), place
    for one in OURS.values():
        assert all("secretKeyRef" not in str(variable) for variable in one.container["env"])


@each
def test_secrets_reach_a_process_that_is_not_root(one: Ours) -> None:
    """Files of root that our group may read, in a folder: a subPath would never see a change."""
    assert one.pod["securityContext"]["fsGroup"] == 10001
    for volume in one.pod["volumes"]:
        assert volume.get("secret", {"defaultMode": 0o440})["defaultMode"] == 0o440
        assert "optional" not in volume.get("secret", {})
    for mount in one.container["volumeMounts"]:
        assert "subPath" not in mount
        assert mount.get("readOnly") is True or mount["mountPath"] == STATE


def test_the_readme_says_how_to_make_each_secret() -> None:
    readme = (ROOT / "deploy" / "README.md").read_text(encoding="utf-8")
    pods = [(one.pod, one.container) for one in OURS.values()]
    pods += [(pod, next(containers(pod))) for pod in (_patch("oauth-apps/shared"), _patch("oauth-apps/beside"))]
    secrets = {mount.secret for pod, container in pods for mount in mounts(pod, container)} - {None}
    assert secrets == set(re.findall(r"create secret generic (connector-sidecar-[a-z-]+)", readme))


@pytest.mark.parametrize(("file", "one"), [("shared", SHARED), ("beside", BESIDE)])
def test_apps_come_from_a_secret_of_their_own(file: str, one: Ours, tmp_path: Path) -> None:
    """The folder that the setting names is the Secret's, readable by us, in the container that serves."""
    pod = _patch(f"oauth-apps/{file}")
    container = next(containers(pod))
    assert container["name"] == one.container["name"]
    settings = load_settings(environment(one.container, SETTINGS_OF[one.where]) | environment(container, {}), tmp_path)
    assert [mount.path for mount in mounts(pod, container)] == [settings.apps_dir]
    assert pod["volumes"][0]["secret"]["defaultMode"] == 0o440
    assert container["volumeMounts"][0]["readOnly"] is True


def test_browsers_reach_the_pages_and_nothing_else(tmp_path: Path) -> None:
    """The listener, the container, the Service and the policy name one port, apart from that of the operations."""
    pod = _patch("connect/shared")
    container = next(containers(pod))
    literal = literals(FILES["overlays/shared-oauth/kustomization.yaml"])
    values = environment(SHARED.container, BASE) | environment(container, literal)
    settings = load_settings(values | {"SIDECAR_CONNECT_ADDRESS": "0.0.0.0:8077"}, tmp_path)
    assert settings.connect_address == values["SIDECAR_CONNECT_ADDRESS"] == "0.0.0.0:8077"
    assert settings.public_url == literal["SIDECAR_PUBLIC_URL"]
    assert container["ports"] == [{"name": "connect", "containerPort": 8077}]
    assert FILES["components/connect/service.yaml"]["spec"]["ports"][0]["targetPort"] == "connect"
    policy = FILES["components/connect/browsers.yaml"]["spec"]
    assert policy["ingress"][0]["ports"] == [{"protocol": "TCP", "port": 8077}]
    labels = FILES["overlays/shared/deployment.yaml"]["spec"]["template"]["metadata"]["labels"]
    for selector in (
        policy["podSelector"]["matchLabels"],
        FILES["components/connect/service.yaml"]["spec"]["selector"],
    ):
        assert selector.items() <= labels.items()


def _patch(name: str) -> dict[str, Any]:
    pod = pod_of(FILES[f"components/{name}.yaml"])
    assert pod is not None
    return pod


@each
def test_a_container_may_do_nothing_special(one: Ours) -> None:
    """What the Pod Security Standard `restricted` asks for, and a root that cannot be written."""
    pod = one.pod["securityContext"] if one is not BESIDE else {}
    context = pod | one.container["securityContext"]
    assert context["runAsNonRoot"] is True
    assert (context["runAsUser"], context["runAsGroup"]) == (10001, 10001)
    assert context["readOnlyRootFilesystem"] is True
    assert context["allowPrivilegeEscalation"] is False
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not any(one.pod.get(name) for name in ("hostNetwork", "hostPID", "hostIPC"))


@pytest.mark.parametrize("one", [SETUP, SHARED], ids=lambda one: one.where)
def test_our_pods_have_no_token(one: Ours) -> None:
    """Nothing of ours speaks with Kubernetes; and no Service of the namespace becomes a setting."""
    assert one.pod["automountServiceAccountToken"] is False
    assert one.pod["serviceAccountName"] == FILES["base/service-account.yaml"]["metadata"]["name"]
    assert FILES["base/service-account.yaml"]["automountServiceAccountToken"] is False
    assert one.pod["enableServiceLinks"] is False


def test_beside_an_agent_there_is_no_token_either() -> None:
    """The agent's pod may have one; an empty folder covers its place in our container."""
    token = "/var/run/secrets/kubernetes.io/serviceaccount"
    assert [mount.secret for mount in mounts(BESIDE.pod, BESIDE.container) if mount.path == token] == [None]
    assert "automountServiceAccountToken" not in BESIDE.pod


@serving
def test_one_port_for_probes_and_figures(one: Ours, tmp_path: Path) -> None:
    """The listener, the container, the probes, the policy and the image name one port."""
    address = load_settings(environment(one.container, SETTINGS_OF[one.where]), tmp_path).operations_address
    assert address == "0.0.0.0:8079"
    assert one.container["ports"] == [{"name": "operations", "containerPort": 8079}]
    assert {probe["httpGet"]["port"] for probe in _probes(one)} == {"operations"}
    policy = FILES["components/network/providers.yaml"]["spec"]
    assert policy["ingress"][0]["ports"] == [{"protocol": "TCP", "port": 8079}]
    assert "\nEXPOSE 8079\n" in (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")


def test_prometheus_is_told_the_port_and_the_path() -> None:
    annotations = FILES["overlays/shared/deployment.yaml"]["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == "8079"
    assert annotations["prometheus.io/path"] in _paths()


@serving
def test_probes_ask_for_pages_that_are_there(one: Ours) -> None:
    """Alive is /healthz: a NATS that is away must not kill the process; it would not come back any sooner."""
    assert {probe["httpGet"]["path"] for probe in _probes(one)} <= _paths()
    assert one.container["livenessProbe"]["httpGet"]["path"] == "/healthz"


def test_the_agent_waits_for_its_sidecar_and_is_not_taken_out_by_it() -> None:
    """A native sidecar: the startup probe holds the agent back once, and no readiness probe speaks for its pod."""
    assert BESIDE.container["restartPolicy"] == "Always"
    assert BESIDE.container["startupProbe"]["httpGet"]["path"] == "/readyz"
    assert "readinessProbe" not in BESIDE.container
    assert BESIDE.pod.keys().isdisjoint({"containers", "restartPolicy", "terminationGracePeriodSeconds"})


def test_the_shared_roll_out_waits_for_readiness() -> None:
    """Two or more, of which none is asked to end before the next one serves."""
    spec = FILES["overlays/shared/deployment.yaml"]["spec"]
    assert spec["replicas"] >= 2
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert SHARED.container["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_the_grace_fits_into_the_pods_period(tmp_path: Path) -> None:
    """Killed before the grace is over, calls in flight would end without a reply."""
    shared = load_settings(environment(SHARED.container, BASE), tmp_path).grace_seconds
    assert shared + 10 <= SHARED.pod["terminationGracePeriodSeconds"]
    beside = load_settings(environment(BESIDE.container, AGENT), tmp_path).grace_seconds
    assert beside + 10 <= DEFAULT_PERIOD
    assert (
        beside + 10 <= FILES["overlays/agent/agent.yaml"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    )


@each
def test_memory_is_bounded(one: Ours) -> None:
    resources = one.container["resources"]
    assert resources["requests"].keys() == {"cpu", "memory"}
    assert resources["limits"].keys() == {"memory"}


@each
def test_the_image_is_this_version(one: Ours) -> None:
    """One name and this version; a registry is named in one's own kustomization."""
    assert one.container["image"] == f"connector-sidecar:{VERSION}"


def test_selectors_select_the_pods_they_are_for() -> None:
    spec = FILES["overlays/shared/deployment.yaml"]["spec"]
    labels = spec["template"]["metadata"]["labels"]
    budget = FILES["overlays/shared/disruption-budget.yaml"]["spec"]
    spreads = spec["template"]["spec"]["topologySpreadConstraints"]
    for selector in (spec["selector"], budget["selector"], *(spread["labelSelector"] for spread in spreads)):
        assert selector["matchLabels"].items() <= labels.items()
    job = FILES["base/setup-job.yaml"]["spec"]["template"]["metadata"]["labels"]
    assert not spec["selector"]["matchLabels"].items() <= job.items()
    inject = FILES["components/sidecar/kustomization.yaml"]["patches"][0]["target"]["labelSelector"]
    key, _, value = inject.partition("=")
    assert FILES["overlays/agent/agent.yaml"]["metadata"]["labels"][key] == value


@pytest.mark.parametrize(("one", "reach"), [(SETUP, "nats"), (SHARED, "providers"), (BESIDE, "providers")])
def test_every_pod_of_ours_is_held_by_a_policy(one: Ours, reach: str) -> None:
    """Setup reaches NATS and names; who serves reaches the public internet too."""
    labels = FILES[one.where]["spec"]["template"]["metadata"]["labels"]
    assert labels["connector-sidecar/network"] == reach
    nats, providers = (FILES[f"components/network/{name}.yaml"]["spec"] for name in ("nats", "providers"))
    assert reach in nats["podSelector"]["matchExpressions"][0]["values"]
    assert providers["podSelector"]["matchLabels"] == {"connector-sidecar/network": "providers"}
    assert nats["policyTypes"] == providers["policyTypes"] == ["Ingress", "Egress"]


def test_the_way_out_is_nats_names_and_https() -> None:
    nats, providers = (FILES[f"components/network/{name}.yaml"]["spec"] for name in ("nats", "providers"))
    ports = [
        (port["protocol"], port["port"])
        for policy in (nats, providers)
        for rule in policy["egress"]
        for port in rule["ports"]
    ]
    assert ports == [("TCP", 4222), ("UDP", 53), ("TCP", 53), ("TCP", 443)]
    assert "ingress" not in nats


def test_the_policy_leaves_out_what_the_sidecar_refuses() -> None:
    """Private, link-local and metadata addresses: every network that a call is refused is outside of the way out."""
    blocks = [block["ipBlock"] for block in FILES["components/network/providers.yaml"]["spec"]["egress"][0]["to"]]
    for network, why in REFUSED:
        for block in blocks:
            cidr = ip_network(block["cidr"])
            if network.version == cidr.version and network.overlaps(cidr):
                assert any(network.subnet_of(ip_network(left_out)) for left_out in block["except"]), why  # type: ignore[arg-type]


def _probes(one: Ours) -> list[dict[str, Any]]:
    return [probe for name, probe in one.container.items() if name.endswith("Probe")]


def _paths() -> set[str]:
    async def ready() -> str | None:
        return None

    return {getattr(route, "path", "") for route in operations(ready, bytes, "text/plain").routes}
