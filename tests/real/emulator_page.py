"""What the tests of the emulator's page do in a browser: media, keys, accessibility."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.real.chromium import Page

_AXE = """
axe.run(document, {resultTypes: ["violations"]}).then((found) => JSON.stringify(found.violations
  .filter((one) => ["serious", "critical"].includes(one.impact))
  .map((one) => [one.id, one.nodes.slice(0, 5).map((node) => [node.html.slice(0, 200), node.failureSummary])])))
"""
_CODES = {"Enter": 13, "Tab": 9, " ": 32}


async def look(page: Page, *, width: int, height: int, scheme: str) -> None:
    """Set the size of the window and the colour scheme."""
    await page.call(
        "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
    )
    await page.call(
        "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}]
    )


async def press(page: Page, key: str, *, shift: bool = False) -> None:
    """Press a key: a name of `_CODES`."""
    text = {"Enter": "\r", " ": " "}.get(key, "")
    pressed = {"key": key, "windowsVirtualKeyCode": _CODES[key], "modifiers": 8 if shift else 0}
    await page.call("Input.dispatchKeyEvent", type="keyDown", text=text, **pressed)
    await page.call("Input.dispatchKeyEvent", type="keyUp", **pressed)


async def serious_problems(page: Page, axe: Path) -> Any:
    """Return what axe-core finds serious or critical."""
    if not await page.ask("'axe' in window"):
        await page.ask(f"{axe.read_text()}; 1")
    return json.loads(await page.ask(_AXE))


async def cut_off(page: Page) -> Any:
    """Return what is wider than the window, so that a reader has to scroll the whole page sideways."""
    return await page.ask(
        "document.documentElement.scrollWidth > innerWidth ? [...document.querySelectorAll('body *')]"
        ".filter((one) => one.getBoundingClientRect().right > innerWidth + 1)"
        ".map((one) => one.outerHTML.slice(0, 120)).slice(0, 8) : []"
    )


def rows(count: int) -> str:
    """Return the condition that the table of requests has so many rows."""
    return f"document.querySelectorAll('.jobs tbody tr').length === {count}"
