"""Ray Data: `FalMapper` makes one request for each row of a dataset, and pays for each row once.

Ray runs a task again after the failure of an actor or a machine. The ledger, which all actors share, has the
request of each row, so that the second run follows the same request, or gets its result. Install
`pip install 'fal-async[ray]'`. This package does not import Ray.
"""

from __future__ import annotations

from fal_async.integrations.ray.mapper import FalMapper

__all__ = ["FalMapper"]
