"""Which ledger a view uses, and whose keys its keys are. Nothing of it is loaded before one is given."""

from __future__ import annotations

import os
from typing import Any

import attrs

from fal_async.errors import ConfigurationError


@attrs.frozen(kw_only=True)
class LedgerChoice:
    """Attributes:
    given: the real path of a file, or a `Ledger`; None: there is none.
    tenant: whose keys they are; None: nobody said so, of a view with other credentials.
    """

    given: Any = None
    tenant: str | None = ""

    def with_options(self, ledger: object, tenant: str | None, *, other_credentials: bool) -> LedgerChoice:
        """ConfigurationError for what is no ledger, or can't be a tenant's name."""
        if ledger is None and tenant is None:
            return attrs.evolve(self, tenant=None) if other_credentials else self
        from fal_async.protocol.ledger.key_checks import check_tenant

        given, before = self.given if ledger is None else _checked(ledger), self.tenant
        if _file_of(given) != _file_of(self.given):
            before = self.tenant or ""
        elif other_credentials:
            before = None  # the same file is no ledger of their own
        return LedgerChoice(given=given, tenant=before if tenant is None else check_tenant(tenant))


def _file_of(given: Any) -> object:
    return getattr(given, "where", given)


def _checked(ledger: object) -> Any:
    if isinstance(ledger, str | os.PathLike):
        from fal_async.ledger.opening import real_path

        # Now: it is opened by the first call, in whatever folder the process is then.
        return real_path(ledger)
    if not hasattr(ledger, "where"):
        raise ConfigurationError(
            f"ledger is a {type(ledger).__name__}: expected a path such as 'runs.db', a URL or a Ledger"
        )
    return ledger


NO_LEDGER = LedgerChoice()
