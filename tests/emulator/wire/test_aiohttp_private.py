"""The private names of aiohttp that the emulator uses still exist, and only one module uses them."""

from __future__ import annotations

from pathlib import Path

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

import fal_async.emulator
from fal_async.emulator.wire import _aiohttp_private
from tests.structure.private_names import modules_with_foreign_private_names

ROOT = Path(fal_async.emulator.__file__).parent


def test_aiohttps_request_handler_still_has_task_handler() -> None:
    assert "_task_handler" in RequestHandler.__slots__, "aiohttp renamed RequestHandler._task_handler"


def test_aiohttps_base_request_still_has_prepare_hook() -> None:
    assert hasattr(web.BaseRequest, "_prepare_hook"), "aiohttp renamed BaseRequest._prepare_hook"


def test_no_other_emulator_module_reads_a_private_attribute_of_another_object() -> None:
    assert modules_with_foreign_private_names(ROOT) == {Path(_aiohttp_private.__file__)}
