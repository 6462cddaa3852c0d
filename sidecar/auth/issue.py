"""What becomes of a credential when a token endpoint was asked for its tokens."""

from __future__ import annotations

import msgspec

from sidecar.auth.token_answer import THROTTLED, UNDECIDED, Granted, Refused, Unanswered, refuses
from sidecar.credential import Credential
from sidecar.model import Failure, Reason, SideEffect
from sidecar.secret import Secret

SERVER_ERRORS = range(500, 600)


def with_tokens(credential: Credential, granted: Granted) -> Credential:
    """The credential with what was granted. Its fields stay: the refresh token that an import brought tells another
    import of the same that it is used up.
    """
    return msgspec.structs.replace(
        credential,
        tokens=granted.tokens,
        kept=granted.kept,
        client_id=granted.client_id or credential.client_id,
        refreshing=None,
    )


def spent(credential: Credential, granted: Granted) -> bool:
    """Whether the refresh token that the credential held is of no use any more."""
    return spends(credential) and granted.tokens.refresh != _refresh(credential)


def used_up(credential: Credential, brought: Credential) -> bool:
    """Whether the refresh token that an import brings was brought before, and the provider gave another for it."""
    token, tokens = brought.fields.get("refresh_token"), credential.tokens
    again = token is not None and token == credential.fields.get("refresh_token")
    return again and tokens is not None and tokens.refresh != token


def spends(credential: Credential) -> bool:
    """Whether a renewal of it uses a refresh token, which may be good for one use."""
    return _refresh(credential) is not None


def _refresh(credential: Credential) -> Secret | None:
    return credential.tokens.refresh if credential.tokens else credential.fields.get("refresh_token")


def failure_of(outcome: Refused | Unanswered) -> Failure:
    """Why there are no tokens, for whoever asked for them."""
    if isinstance(outcome, Unanswered):
        return Failure(
            reason=Reason.OUTCOME_UNKNOWN if outcome.sent else Reason.CONNECT_FAILED,
            detail=outcome.detail,
            side_effect=SideEffect.UNKNOWN if outcome.sent else SideEffect.NONE,
            retry_after=outcome.retry_after,
        )
    return Failure(
        reason=_reason(outcome),
        detail=outcome.detail,
        side_effect=SideEffect.UNKNOWN if outcome.perhaps_spent else SideEffect.NONE,
        retry_after=outcome.retry_after,
        provider_status=outcome.status,
        provider_code=outcome.code,
    )


def _reason(refused: Refused) -> Reason:
    if refused.final:
        return Reason.CREDENTIAL_REJECTED
    match refused.status:
        case None:
            return Reason.NOT_SET_UP
        case status if status == THROTTLED:
            return Reason.PROVIDER_RATE_LIMITED
        case _ if refuses(refused):
            return Reason.CREDENTIAL_REJECTED
        case status if status in SERVER_ERRORS or status in UNDECIDED:
            return Reason.PROVIDER_UNAVAILABLE
        case _:
            return Reason.BAD_PROVIDER_RESPONSE
