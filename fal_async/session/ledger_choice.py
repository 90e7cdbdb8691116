"""The ledger and the tenant of a view. The ledger's modules are loaded only if a ledger is given."""

from __future__ import annotations

import os
from typing import Any

import attrs

from fal_async.errors import ConfigurationError


@attrs.frozen(kw_only=True)
class LedgerChoice:
    """The ledger and the tenant of a view.

    Attributes:
        given: the real path of a file, the URL of a database, or a `Ledger`. None: no ledger.
        tenant: the tenant that owns the keys. None: the view has other credentials but no tenant, so that its calls
            can't have a key.
    """

    given: Any = attrs.field(default=None, repr=False)  # a URL has a password
    tenant: str | None = ""

    def with_options(self, ledger: object, tenant: str | None, *, other_credentials: bool) -> LedgerChoice:
        """Return the choice of another view. None as `ledger` or `tenant` means unchanged.

        Raises:
            ConfigurationError: `ledger` is not a ledger, or `tenant` is not a valid name.
        """
        if ledger is None and tenant is None:
            return attrs.evolve(self, tenant=None) if other_credentials else self
        from fal_async.protocol.ledger.key_checks import check_tenant

        given, before = self.given if ledger is None else _checked(ledger), self.tenant
        if _file_of(given) != _file_of(self.given):
            before = self.tenant or ""
        elif other_credentials:
            before = None  # in the same ledger, other credentials must name a tenant
        return LedgerChoice(given=given, tenant=before if tenant is None else check_tenant(tenant))


def _file_of(given: Any) -> object:
    """Return what is equal for two values of `ledger=` that name the same ledger."""
    if not isinstance(given, str):
        return getattr(given, "where", given)
    from fal_async.ledger.postgres.postgres_address import is_address, name_of_url

    return name_of_url(given) if is_address(given) else given


def _checked(ledger: object) -> Any:
    if isinstance(ledger, str | os.PathLike):
        from fal_async.ledger.opening import checked_place

        # Resolved now, because the process may be in another folder when the first call opens the file.
        return checked_place(ledger)
    if not hasattr(ledger, "where"):
        raise ConfigurationError(
            f"ledger is of type {type(ledger).__name__}: expected a path such as 'runs.db', a URL or a Ledger"
        )
    return ledger


NO_LEDGER = LedgerChoice()
