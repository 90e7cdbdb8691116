"""`/_emulator/accounts`, keys, balances and prices."""

from __future__ import annotations

from typing import Any

from fal_async.emulator.accounts.account import Account
from fal_async.emulator.accounts.prices import amount_of
from fal_async.emulator.admin.order import Order, Routes


def _accounts(order: Order) -> list[dict[str, Any]]:
    return [_account(account) for account in order.core.keyring.accounts.values()]


def _account(account: Account) -> dict[str, Any]:
    return {
        name: getattr(account, name)
        for name in ("nickname", "key", "admin_key", "concurrency", "running", "balance", "locked")
    }


def _named(order: Order) -> Account:
    """Return the account that the body names; the emulator's own without a name."""
    return order.core.keyring.named(order.wanted.get("account"))


def _add(order: Order) -> dict[str, Any]:
    """Read `{"key", "nickname"?, "concurrency"?}`."""
    return _account(order.core.keyring.add(**order.wanted))


def _rotate_key(order: Order) -> None:
    """Read `{"key", "account"?}`."""
    _named(order).key = str(order.wanted["key"])


def _set_balance(order: Order) -> None:
    """Read `{"balance", "account"?}`; null: no limit."""
    balance = order.wanted["balance"]
    _named(order).balance = None if balance is None else amount_of(balance, "balance")


def _set_price(order: Order) -> None:
    """Read `{"endpoint_id", "price", "unit"?}`; null: no price."""
    wanted = order.wanted
    order.core.reprice(wanted["endpoint_id"], wanted["price"], wanted.get("unit"))


def _lock(order: Order) -> None:
    """Read `{"account"?}`."""
    _named(order).lock()


def _unlock(order: Order) -> None:
    """Read `{"account"?}`."""
    _named(order).unlock()


ROUTES: Routes = {
    ("GET", "accounts"): _accounts,
    ("POST", "accounts"): _add,
    ("POST", "key"): _rotate_key,
    ("POST", "balance"): _set_balance,
    ("POST", "price"): _set_price,
    ("POST", "lock"): _lock,
    ("POST", "unlock"): _unlock,
}
