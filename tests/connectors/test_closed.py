"""The paths that no raw request reaches, since their answers hold a credential, and their neighbours, which it does."""

from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.catalogue.load import load_catalogue
from sidecar.core.raw import render_raw
from sidecar.model import Failure, Request
from sidecar.provider import Provider
from tests.build import FORMATS

URL = "https://server.example"
PROVIDERS = load_catalogue([Path(__file__).parents[2] / "connectors"], FORMATS).providers
CLOSED = {
    "github": [
        "/app/installations/1/access_tokens",
        "/repos/o/r/actions/runners/registration-token",
        "/repos/o/r/secret-scanning/alerts",
        "/orgs/o/secret-scanning/alerts/1",
    ],
    "matrix": [
        "/_matrix/client/v3/login",
        "/_matrix/client/unstable/org.matrix.msc3882/login/token",
        "/_matrix/client/v3/user/@a:b/openid/request_token",
        "/_matrix/client/v3/voip/turnServer",
        "/_synapse/admin/v1/registration_tokens/new",
    ],
    "outlook": [
        "/$batch",
        "/applications/1/addKey",
        "/applications/1/microsoft.graph.addKey",
        "/applications/1/addPassword()",
        "/applications(appId='a')/microsoft.graph.addPassword()",
        "/me/messages/1/attachments/createUploadSession",
        "/me/messages/1/attachments/microsoft.graph.createUploadSession",
        "/users/1/authentication",
        "/users('1')/authentication/temporaryAccessPassMethods",
    ],
    "pocketbase": [
        "/api/collections/users/auth-with-password",
        "/api/collections/users/impersonate/1",
        "/api/files/token",
        "/api/settings/apple/generate-client-secret",
    ],
    "redmine": [
        "/users",
        "/users.json",
        "/users.xml",
        "/users/5.json",
        "/users/current",
        "/my/account.json",
        "/my.json",
    ],
    "slack": ["/oauth.v2.access", "/apps.connections.open", "/openid.connect.token", "/files.getUploadURLExternal"],
}
OPEN = {
    "github": ["/repos/o/r/issues", "/repos/o/r/secret-scanning/scan-history", "/app/installations"],
    "matrix": ["/_matrix/client/v3/sync", "/_synapse/admin/v2/users/@a:b"],
    "outlook": ["/me/messages", "/applications/1", "/me/messages/1/attachments", "/me/messages/addKeys"],
    "pocketbase": ["/api/collections/users/records", "/api/batch", "/api/files/posts/1/a.txt", "/api/settings"],
    "redmine": ["/issues.json", "/projects/users/issues.json", "/memberships/1.json"],
    "slack": ["/chat.postMessage", "/files.list", "/apps.manifest.export"],
}


def spellings(path: str) -> list[str]:
    """The path in the ways that a server may read as the same."""
    coded = f"%{ord(path[-1]):02X}"
    return [path, f"{path}/", f"{path}//", path.upper(), f"/{path}", path.replace("/", "//"), path[:-1] + coded]


@pytest.mark.parametrize(("name", "path"), [(name, path) for name, paths in CLOSED.items() for path in paths])
def test_what_answers_with_a_credential_is_closed(name: str, path: str) -> None:
    """However its path is written: by case, slashes, encoding, suffix, namespace or parentheses, or within a batch."""
    for spelling in spellings(path):
        assert isinstance(asked(PROVIDERS[name], spelling), Failure), spelling


@pytest.mark.parametrize(("name", "path"), [(name, path) for name, paths in OPEN.items() for path in paths])
def test_its_neighbours_are_open(name: str, path: str) -> None:
    """The raw request reaches everything else."""
    assert isinstance(asked(PROVIDERS[name], path), Request)


def asked(provider: Provider, path: str) -> Request | Failure:
    return render_raw(provider, "POST", URL, {"method": "POST", "path": path})
