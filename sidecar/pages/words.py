"""What a page says at each end of a flow, to a person who knows nothing of sidecars."""

from __future__ import annotations

import msgspec

from sidecar.auth.flow import Ending
from sidecar.consent import Arrived


class Words(msgspec.Struct, frozen=True):
    """A heading, sentences, what somebody else said, and the HTTP status that goes with them."""

    heading: str
    sentences: tuple[str, ...]
    status: int = 400
    said: str | None = None

    @property
    def good(self) -> bool:
        return self.status < 400  # noqa: PLR2004 - RFC 9110 section 15.5


NEW_LINK = "Ask whoever sent you the link for a new one."
NOTHING = "Nothing was connected."
CLOSE = "You can close this window."


def words(arrived: Arrived, *, back: bool = False) -> Words:  # noqa: C901, PLR0912 - one row for each ending
    """The page of an ending; `back`: the browser can go back to where it came from."""
    title, said = arrived.provider or "The provider", arrived.ended.detail or None
    who = arrived.account or "The account"
    match arrived.ended.ending:
        case Ending.CONNECTED:
            what = f"{who} at {title} can now be used as “{arrived.connection}”."
            return Words("Connected", (what, "You are taken back in a moment." if back else CLOSE), 200)
        case Ending.ACCESS_DENIED:
            again = f"If that was not what you wanted: {_lower(NEW_LINK)}"
            return Words("Access was not allowed", (f"You said no at {title}. {NOTHING}", again), 403)
        case Ending.PROVIDER_ERROR:
            return Words(f"{title} reported a problem", (NOTHING, NEW_LINK), 502, said)
        case Ending.LINK_GONE:
            why = "A link to connect an account works once, and for a short time."
            return Words("This link does not work any more", (why, NEW_LINK), 410)
        case Ending.LINK_USED:
            why = "Somebody has begun to connect the account with it already. A link works once."
            return Words("This link was used before", (why, NEW_LINK), 410)
        case Ending.ALREADY_ANSWERED:
            done = f"{arrived.account} at {title} is connected." if said else "Look whether the account is connected."
            return Words("This step was taken before", (f"The same answer counts once. {done}", CLOSE), 409)
        case Ending.WRONG_STATE:
            why = "This address does not belong to anything that was begun in this browser."
            warn = "If somebody sent you this address, do not open it again."
            return Words("This answer belongs to no request", (f"{why} {NOTHING}", warn, NEW_LINK), 400)
        case Ending.WRONG_ISSUER:
            why = f"The answer says that it comes from somebody other than {title}, or does not say from whom."
            return Words("The answer came from the wrong place", (f"{why} {NOTHING}", NEW_LINK), 400, said)
        case Ending.NO_COOKIE:
            why = "Connecting an account has to end in the browser in which it began, with cookies allowed."
            return Words("This browser did not begin this", (f"{why} {NOTHING}", NEW_LINK), 403)
        case Ending.CODE_REFUSED:
            why = f"You allowed access, and {title} did not complete it. {NOTHING}"
            return Words(f"{title} refused to complete this", (why, NEW_LINK), 502, said)
        case Ending.OTHER_ACCOUNT:
            seen = f"You signed in as {arrived.account}" if arrived.account else f"{title} does not say who you are"
            why = f"{seen}, and this is meant for {arrived.expected_account}. {NOTHING}"
            return Words("This is another account", (why, f"{NEW_LINK} Choose the right account then."), 403)
        case Ending.NOT_VERIFIED:
            why = f"{title} gave access, and then did not let us see whose account it is. {NOTHING}"
            return Words("The account could not be checked", (why, NEW_LINK), 502, said)
        case Ending.DISABLED:
            why = f"“{arrived.connection}” was switched off. Whoever runs this has to switch it on first."
            return Words("This connection is switched off", (f"{why} {NOTHING}",), 403)
        case Ending.REVOKED:
            why = f"“{arrived.connection}” was revoked after this link was made. {NOTHING}"
            return Words("This connection was taken back", (why, NEW_LINK), 403)
        case Ending.NO_ANSWER:
            why = f"You allowed access, and {title} did not answer when we asked for it. {NOTHING}"
            return Words(f"{title} does not answer", (why, f"{NEW_LINK} It may help to wait a little."), 504)
        case Ending.UNAVAILABLE:
            return Words("Not possible at the moment", (NOTHING, f"Wait a minute. {NEW_LINK}"), 503, said)
        case Ending.FOREIGN_REQUEST:
            why = "Another website tried to open this link for you."
            return Words("Not begun from this page", (f"{why} {NOTHING}", "Open the link itself."), 403)
        case Ending.MALFORMED:
            return Words("This address cannot be understood", (NOTHING, NEW_LINK), 400)


NOT_FOUND = Words("There is nothing here", ("To connect an account, open the link that you were given.",), 404)


def _lower(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:]
