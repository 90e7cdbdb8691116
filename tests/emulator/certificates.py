"""A certificate for fal's own host names, signed by a CA that is made for this test run."""

from __future__ import annotations

import ssl
from functools import cache

import trustme

from fal_async.emulator.wire.routing import FAL_HOSTS


@cache
def authority() -> trustme.CA:
    return trustme.CA()


def server_side() -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority().issue_cert("127.0.0.1", *sorted(FAL_HOSTS)).configure_cert(context)
    return context


def client_side() -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority().configure_trust(context)
    return context
