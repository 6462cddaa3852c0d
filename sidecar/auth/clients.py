"""Who asks a token endpoint: the app, and its proofs of itself."""

from __future__ import annotations

from sidecar.auth.apps import App, Apps
from sidecar.auth.question import Question, Unfit
from sidecar.auth.token_request import Client, client_claims
from sidecar.kinds import ClientCredentials, OAuth2
from sidecar.ports import Clock, OAuth, Random
from sidecar.secret import Secret


class Clients:
    """Finds the app of a question, and proves it."""

    def __init__(self, apps: Apps, oauth: OAuth, clock: Clock, random: Random) -> None:
        self._apps = apps
        self._oauth = oauth
        self._clock = clock
        self._random = random

    def app(self, question: Question) -> App:
        """The app that asks: the credential's own, else the configured one. Raises Unfit."""
        name, fields = question.title, question.credential.fields
        own = fields.get("client_id")
        if own is not None:
            secret, key_id = fields.get("client_secret"), fields.get("key_id")
            app = App(
                client_id=own.reveal(),
                client_secrets=(secret,) if secret else (),
                private_key=fields.get("private_key"),
                key_id=key_id.reveal() if key_id else None,
            )
        else:
            found = self._apps.app(question.tenant, question.provider.name)
            if found is None:
                problem = self._apps.problem(question.tenant, question.provider.name)
                raise Unfit(
                    problem
                    or f"no app of {name} is set up here: put {question.provider.name}.json into SIDECAR_APPS_DIR"
                )
            app = found
        bound = question.credential.client_id
        if bound is not None and bound != app.client_id:
            raise Unfit(
                f"the tokens belong to the app {bound}, and the app of {name} here is {app.client_id}: set up the"
                " former again, or have access allowed again"
            )
        return app

    async def proofs(self, question: Question, auth: OAuth2 | ClientCredentials, url: str, app: App) -> list[Client]:
        """The proofs that the app has, in the order in which they are to be tried. Raises Unfit, KeyRejected."""
        name = question.title
        match auth.client_auth:
            case "none":
                return [Client(client_id=app.client_id, how="none")]
            case "private_key_jwt":
                if app.private_key is None:
                    raise Unfit(f"the app of {name} has no private_key, with which its requests are signed")
                audience = getattr(auth, "issuer", None) or url
                claims = client_claims(app.client_id, audience, self._clock.wall(), self._random.token(16).hex())
                proof = Secret(await self._oauth.signed(claims, key=app.private_key, key_id=app.key_id))
                return [Client(client_id=app.client_id, how="private_key_jwt", proof=proof)]
            case how:
                if not app.client_secrets:
                    raise Unfit(f"the app of {name} has no client_secret")
                return [Client(client_id=app.client_id, how=how, proof=secret) for secret in app.client_secrets[:2]]
