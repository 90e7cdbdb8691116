"""The JavaScript of the recipes, with fal's client from npm, against the emulator."""

from __future__ import annotations

from pathlib import Path

from fal_async.emulator import Emulator
from tests.documents.code_blocks import javascript_of
from tests.real.conftest import node_with, output_of


async def test_the_javascript_of_the_recipe_uploads_and_subscribes(
    emulator: Emulator, workshop: Path
) -> None:
    folder = node_with(workshop)
    (folder / "recipe.mjs").write_text(javascript_of("fal_async/RECIPES.md"))
    out = await output_of(
        *("node", "recipe.mjs"),
        env={"FAL_BASE_URL": emulator.url, "FAL_KEY": emulator.key},
        cwd=folder,
    )
    assert out.startswith(f"{emulator.url}/v3.fal.media/")
    assert (emulator.count("submit"), len(emulator.uploads)) == (1, 1)
