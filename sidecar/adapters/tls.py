"""Which certificates are taken: the same on every Python, or a newer one ends every call of a company with an authority
of its own.
"""

from __future__ import annotations

import ssl

# Python 3.13 turned these on in `ssl.create_default_context`. With the first an authority as `openssl req -x509` makes
# it is refused, since it names no key usage; with the second one is taken that is no root.
# https://docs.python.org/3/whatsnew/3.13.html#ssl
NEWER = ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN


def on_any_python(context: ssl.SSLContext) -> ssl.SSLContext:
    """The context, with the rules for certificates that Python had before 3.13."""
    context.verify_flags &= ~NEWER
    return context
