"""Credentials: kept, renewed, and connected."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sidecar.adapters.app_file import AppFolder
from sidecar.adapters.authlib_oauth import AuthlibOAuth
from sidecar.adapters.state_folder import StateFolder
from sidecar.auth.apps import Apps
from sidecar.auth.endpoint import TokenEndpoint
from sidecar.auth.live import LiveCredentials
from sidecar.auth.refresher import Refresher
from sidecar.auth.spill import Spill
from sidecar.auth.sweep import Sweep
from sidecar.connect import Connect, Site
from sidecar.consent import Consent
from sidecar.execute import Executor
from sidecar.store.credential import CredentialStore
from sidecar.store.flow import FlowStore
from sidecar.verify import Verification
from sidecar.wiring.ground import USER_AGENT, Ground


@dataclass(frozen=True, slots=True)
class Accounts:
    """Credentials, and whoever renews them."""

    credentials: CredentialStore
    apps: Apps
    oauth: AuthlibOAuth
    tokens: TokenEndpoint
    refresher: Refresher
    live: LiveCredentials
    sweep: Sweep


@dataclass(frozen=True, slots=True)
class Connecting:
    """Connecting accounts: what agents are answered, and what browsers are led through."""

    site: Site
    connect: Connect
    consent: Consent


def wire_accounts(on: Ground) -> Accounts:
    settings, clock, random = on.settings, on.clock, on.random
    providers, capacity = on.catalogue.providers, settings.connections_cached
    credentials = CredentialStore(*on.sealing, capacity=capacity, scope=settings.scope)
    apps = Apps(AppFolder(Path(settings.apps_dir).expanduser(), clock.now) if settings.apps_dir else None)
    oauth = AuthlibOAuth()
    tokens = TokenEndpoint(
        sender=on.sender,
        apps=apps,
        oauth=oauth,
        clock=clock,
        random=random,
        user_agent=USER_AGENT,
        base_urls=on.base_urls,
    )
    spill = Spill(StateFolder(Path(settings.state_dir).expanduser()), on.keys) if settings.state_dir else None
    refresher = Refresher(
        store=credentials,
        endpoint=tokens,
        providers=providers,
        clock=clock,
        random=random,
        observer=on.trace,
        gauge=on.metrics,
        spill=spill,
    )
    live = LiveCredentials(
        store=credentials, refresher=refresher, providers=providers, clock=clock, random=random, capacity=capacity
    )
    sweep = Sweep(store=credentials, refresher=refresher, providers=providers, clock=clock, random=random)
    return Accounts(credentials, apps, oauth, tokens, refresher, live, sweep)


def wire_connecting(on: Ground, accounts: Accounts, executor: Executor) -> Connecting:
    settings, apps, credentials = on.settings, accounts.apps, accounts.credentials
    site = Site(settings.public_url.rstrip("/") if settings.public_url else None, settings.return_urls)
    flows = FlowStore(*on.sealing, settings.scope)
    connect = Connect(
        site=site,
        catalogue=on.catalogue,
        apps=apps,
        credentials=credentials,
        flows=flows,
        clock=on.clock,
        random=on.random,
    )
    consent = Consent(
        site=site,
        catalogue=on.catalogue,
        apps=apps,
        oauth=accounts.oauth,
        codes=accounts.tokens,
        verification=Verification(executor, on.clock, on.random),
        credentials=credentials,
        flows=flows,
        observer=on.trace,
        clock=on.clock,
        random=on.random,
    )
    return Connecting(site, connect, consent)
