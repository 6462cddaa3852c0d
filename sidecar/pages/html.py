"""Pages as HTML text. Pure. Everything that is not ours is escaped, and no page has a script."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from html import escape
from urllib.parse import urlsplit

from sidecar.consent import Arrived, Going, Offer
from sidecar.pages.words import Words, words

RETURN_SECONDS = 4
GOOD, BAD = "good", "bad"

STYLE = """
:root{color-scheme:light dark;--ground:#f4f5f7;--card:#fff;--ink:#1b1f24;--soft:#59636e;--line:#d8dee4;--act:#1f5fd0;
--on-act:#fff;--good:#1a7f37;--bad:#b35900}
@media (prefers-color-scheme:dark){:root{--ground:#0f1216;--card:#191d23;--ink:#e8ebef;--soft:#9aa4b0;--line:#2e353e;
--act:#5b96f5;--on-act:#0b1220;--good:#4cc36e;--bad:#e8a04c}}
*{box-sizing:border-box}
html{font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif;background:var(--ground);
color:var(--ink)}
body{margin:0;min-height:100vh;display:flex;align-items:center;justify-content:center;padding:1rem}
main{width:100%;max-width:30rem;background:var(--card);border:1px solid var(--line);border-radius:12px;
padding:1.75rem 1.5rem}
h1{margin:0 0 .9rem;font-size:1.35rem;line-height:1.3;font-weight:650;text-wrap:balance}
h1.good::before,h1.bad::before{content:"";display:block;width:2.25rem;height:.3rem;border-radius:2px;
margin-bottom:1rem;background:var(--good)}
h1.bad::before{background:var(--bad)}
p{margin:0 0 .8rem}
dl{margin:1.1rem 0;border:1px solid var(--line);border-radius:8px;overflow:hidden}
div.row{padding:.6rem .85rem;border-top:1px solid var(--line)}
div.row:first-child{border-top:0}
dt{font-size:.8rem;color:var(--soft)}
dd{margin:0;overflow-wrap:anywhere}
ul{margin:0;padding:0;list-style:none}
li{overflow-wrap:anywhere}
code{font:.86em/1.5 ui-monospace,"SF Mono",Menlo,Consolas,monospace}
blockquote{margin:0 0 .8rem;padding:.5rem .85rem;border-left:3px solid var(--line);color:var(--soft);
overflow-wrap:anywhere}
.small{font-size:.86rem;color:var(--soft)}
button,a.button{display:block;width:100%;margin:1.2rem 0 .9rem;padding:.75rem 1rem;border:0;border-radius:8px;
background:var(--act);color:var(--on-act);font:inherit;font-weight:600;text-align:center;text-decoration:none;
cursor:pointer;overflow-wrap:anywhere}
button:hover,a.button:hover{filter:brightness(1.08)}
button:focus-visible,a:focus-visible{outline:3px solid var(--act);outline-offset:2px}
a{color:var(--act)}
main>:last-child,main>a.button:last-child{margin-bottom:0}
"""

# https://www.w3.org/TR/CSP3/: nothing may be loaded, run, framed or sent anywhere; the one style is known by its hash.
_HASH = b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'sha256-{_HASH}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
HEADERS = {
    "content-security-policy": POLICY,
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "x-robots-tag": "noindex, nofollow",
}


def offer_page(offer: Offer) -> str:
    """Who wants to use which account for what, and the button that begins it."""
    rows = [("Account", escape(offer.expected_account))] if offer.expected_account else []
    rows += [("To be used by", escape(offer.tenant)), ("Under the name", escape(offer.connection))]
    scopes = "".join(f"<li><code>{escape(scope)}</code></li>" for scope in offer.scopes)
    if scopes:
        rows.append(("It asks for", f"<ul>{scopes}</ul>"))
    listed = "".join(f'<div class="row"><dt>{name}</dt><dd>{value}</dd></div>' for name, value in rows)
    provider = escape(offer.provider)
    return _page(
        f"Connect {offer.provider}",
        f"<h1>Connect your {provider} account</h1>"
        f"<dl>{listed}</dl>"
        f'<form method="post"><button type="submit">Continue to {provider}</button></form>'
        f'<p class="small">You sign in at <strong>{escape(offer.host)}</strong>, which asks you to allow this. '
        "Your password stays there. Go on only if you expected this link.</p>",
    )


def going_page(going: Going) -> str:
    """On the way to the provider. Not a redirect: that of a form is held against `form-action` wherever it leads
    (https://www.w3.org/TR/CSP3/#directive-form-action), and providers lead on to others.
    """
    url, provider = escape(going.url), escape(going.provider)
    return _page(
        f"To {going.provider}",
        f"<h1>On the way to {provider}</h1>"
        f'<p>If nothing happens: <a href="{url}" rel="noreferrer">go on to {provider}</a>.</p>',
        refresh=f"0; url={going.url}",
    )


def arrived_page(arrived: Arrived, return_to: str | None) -> tuple[str, int]:
    """How it ended, and the HTTP status. After a success the browser goes on to `return_to` by itself."""
    said = words(arrived, back=return_to is not None)
    back = _back(return_to) if return_to else ""
    refresh = f"{RETURN_SECONDS}; url={return_to}" if return_to and said.good else None
    return words_page(said, back, refresh), said.status


def words_page(said: Words, more: str = "", refresh: str | None = None) -> str:
    first, *rest = (f"<p>{escape(sentence)}</p>" for sentence in said.sentences)
    quoted = f"<blockquote>{escape(said.said)}</blockquote>" if said.said else ""
    mark = GOOD if said.good else BAD
    return _page(
        said.heading, f'<h1 class="{mark}">{escape(said.heading)}</h1>{first}{quoted}{"".join(rest)}{more}', refresh
    )


def _back(return_to: str) -> str:
    host = escape(urlsplit(return_to).netloc)
    return f'<a class="button" href="{escape(return_to)}" rel="noreferrer">Back to {host}</a>'


def _page(title: str, body: str, refresh: str | None = None) -> str:
    onward = f'<meta http-equiv="refresh" content="{escape(refresh)}">' if refresh else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"{onward}<title>{escape(title)}</title><style>{STYLE}</style></head><body><main>{body}</main></body></html>\n"
    )
