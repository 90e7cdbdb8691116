"""The whole programs of the documents: to be written."""

from __future__ import annotations

from tests.documents.code_blocks import Block

BLOCKS: dict[str, Block] = {}
