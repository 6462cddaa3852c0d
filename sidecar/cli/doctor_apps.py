"""What the doctor sees of OAuth apps: whether they can prove themselves, and send people back to us."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from sidecar.adapters.app_file import AppFolder
from sidecar.auth.apps import App, Apps, app_file_names
from sidecar.cli.account import CONSENTED, Connection
from sidecar.cli.app_here import apps_folder
from sidecar.cli.doctor_grants import named, oauth2_of
from sidecar.cli.doctor_line import Line, fail, ok, warn
from sidecar.connect import Site
from sidecar.kinds import OAuth2
from sidecar.laptop import CONNECT_ON_A_LAPTOP
from sidecar.provider import Catalogue
from sidecar.settings import Settings
from sidecar.trace.line import counted


def apps_of(settings: Settings) -> Apps:
    return Apps(AppFolder(apps_folder(settings), lambda: 0.0))


class Registered(msgspec.Struct, frozen=True):
    """What a downloaded file says of redirect URIs."""

    redirect_uris: tuple[str, ...] = ()


def app_lines(settings: Settings, catalogue: Catalogue, tenant: str, connections: Sequence[Connection]) -> list[Line]:
    """Of every provider that has an app here, or connections that need one: whether the app can do what it has to."""
    apps, lines = apps_of(settings), list[Line]()
    for name, provider in sorted(catalogue.providers.items()):
        auth = oauth2_of(provider)
        if auth is None:
            continue
        mine = [item for item in connections if item.provider == name and item.kind in CONSENTED and alive(item)]
        problem, app = apps.problem(tenant, name), apps.app(tenant, name)
        if problem is not None:
            lines.append(fail(name, problem, f"give the file again: sidecar connect {name} --app FILE"))
        elif app is not None:
            lines += _app(settings, tenant, name, auth, app, mine)
        elif mine:
            who = f"{counted(len(mine), 'connection')} of it cannot be renewed, unless each brings its own"
            mend = f"put it there: sidecar connect {name} --app FILE; without --app it prints how to make one"
            lines.append(warn(name, f"no OAuth app in {apps_folder(settings)}: {who}", mend))
    return lines


def alive(item: Connection) -> bool:
    return item.status not in {"revoked", "unreadable"}


def _app(
    settings: Settings, tenant: str, name: str, auth: OAuth2, app: App, connections: Sequence[Connection]
) -> Iterator[Line]:
    missing = missing_proof(auth, app)
    if missing is not None:
        yield fail(name, missing, f"download the app's file again: sidecar connect {name} --app FILE")
    others = [item for item in connections if item.client_id not in (None, app.client_id)]
    if others:
        seen = f"the app is {app.client_id}, and {named(others)} belong to {others[0].client_id}"
        mend = f"put the former app back, or connect them again: sidecar connect {name} -c {others[0].connection}"
        yield warn(name, seen, mend)
    site = Site(settings.public_url.rstrip("/") if settings.public_url else f"http://{CONNECT_ON_A_LAPTOP}")
    uri = site.redirect_uri(auth)
    wrong = wrong_redirect(auth, uri, _registered(settings, tenant, name))
    if wrong is not None:
        yield warn(name, wrong, f"add {uri} to the redirect URIs of the app at {auth.docs or 'the provider'}")
    elif missing is None:
        yield ok(name, f"OAuth app {app.client_id}, redirect URI {uri}")


def missing_proof(auth: OAuth2, app: App) -> str | None:
    """What the app lacks to prove itself."""
    if auth.client_auth in ("basic", "post") and not app.client_secrets:
        return "client secret missing"
    if auth.client_auth == "private_key_jwt" and app.private_key is None:
        return "private key missing"
    return None


def _registered(settings: Settings, tenant: str, provider: str) -> tuple[str, tuple[str, ...]] | None:
    """The type of the app and its redirect URIs, where its file says them."""
    for name in app_file_names(tenant, provider):
        file: Path = apps_folder(settings) / name
        if file.is_file():
            whole = msgspec.json.decode(file.read_bytes(), type=dict[str, msgspec.Raw])
            kind = next((kind for kind in ("installed", "web") if kind in whole), None)
            return None if kind is None else (kind, msgspec.json.decode(whole[kind], type=Registered).redirect_uris)
    return None


def wrong_redirect(auth: OAuth2, uri: str, registered: tuple[str, tuple[str, ...]] | None) -> str | None:
    """Why the provider would not send anybody back to this URI; None where it would, or nobody here knows."""
    if registered is None:
        return None
    kind, uris = registered
    if kind == "web":
        return (
            None if uri in uris else f"redirect URI {uri} is not one of the app's: {', '.join(uris) or 'it has none'}"
        )
    near = auth.redirect == "loopback" and urlsplit(uri).hostname in {"127.0.0.1", "localhost"}
    return None if near else f"the app is one for desktops, and cannot send people back to {uri}"
