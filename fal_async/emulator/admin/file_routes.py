"""`/_emulator/files`: the produced and uploaded files."""

from __future__ import annotations

from fal_async.emulator.admin.order import Order, Routes


def _expire(order: Order) -> None:
    """Read `{"urls"?, "status"?}`; without URLs, all files expire."""
    wanted = order.wanted
    order.core.files.expire([str(url) for url in wanted.get("urls", ())], wanted.get("status"))


ROUTES: Routes = {("POST", "files/expire"): _expire}
