"""The times and numbers in the chapter on PostgreSQL are those of the code."""

from __future__ import annotations

import re

from fal_async import RetryPolicy, Timeouts
from fal_async.ledger.postgres.database import PATIENCE
from fal_async.ledger.postgres.postgres_address import POOL_SIZE
from fal_async.ledger.postgres.postgres_schema import grants
from fal_async.ledger.postgres.record_reads import BEFORE_TAKING
from fal_async.protocol.ledger.budget import submit_budget
from tests.documents.code_blocks import ROOT, without_blocks

CHAPTER = (ROOT / "fal_async" / "ledger" / "POSTGRES.md").read_text(encoding="utf-8")


def test_the_chapter_names_the_time_that_a_submit_may_take_by_default_and_with_its_limits() -> None:
    assert f"**{submit_budget(RetryPolicy(), Timeouts()):.0f} seconds** by default" in CHAPTER
    shorter = submit_budget(RetryPolicy(max_total=5), Timeouts(connect=5, first_byte=20, total=30))
    assert f"here {shorter:.0f} seconds:" in CHAPTER
    assert "Timeouts(connect=5, first_byte=20, total=30)" in CHAPTER
    assert "RetryPolicy(max_total=5)" in CHAPTER


def test_the_chapter_names_the_patience_and_the_pool_size_of_the_code() -> None:
    assert f"after its lock was free for {BEFORE_TAKING:.0f} seconds" in CHAPTER
    assert f"each operation is repeated for {PATIENCE:.0f} seconds" in CHAPTER
    assert f"| `pool_size` | {POOL_SIZE} |" in CHAPTER


def test_the_chapter_names_every_right_that_is_granted() -> None:
    granted = {
        right for words in re.findall(r"GRANT ([A-Z, ]+) ON", grants("app")) for right in words.split(", ")
    }
    assert granted == {"USAGE", "SELECT", "INSERT", "UPDATE", "DELETE"}
    section = without_blocks(CHAPTER).partition("## The role and its rights")[2].partition("\n## ")[0]
    assert {right for right in granted if f"`{right}`" not in section} == set()
