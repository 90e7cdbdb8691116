"""`fal-async models`, `schema`, `price`, `usage` and `requests`."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.cli.shell import Done, Shell


def rows(done: Done) -> list[list[str]]:
    """Return the cells of a table's rows, without its headers."""
    assert (done.status, done.err) == (0, "")
    return [line.split() for line in done.out.splitlines()[1:]]


@pytest.fixture
def used(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """Make two billed calls and one that fails, and read about them with the admin key."""

    @shell.emulator.endpoint("me/broken")
    async def broken(input: dict[str, Any]) -> dict[str, Any]:
        raise RuntimeError("no")

    shell.run("subscribe", "fal-ai/flux/dev", "prompt=a cat", "num_images:=2", "num_inference_steps:=1", "-q")
    shell.run("run", "fal-ai/any-llm", "prompt=hello")
    assert shell.run("subscribe", "me/broken", "-q").status == 1
    monkeypatch.setenv("FAL_KEY", shell.emulator.admin_key)
    return shell


def test_models_are_searched_by_words_without_an_api_key(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FAL_KEY")
    found = shell.run("models", "train", "flux")
    assert [row[0] for row in rows(found)] == ["fal-ai/flux-lora-fast-training"]
    (model,) = shell.run("models", "archive", "--json").document
    assert (model["endpoint_id"], model["category"]) == ("fal-ai/flux-lora-fast-training", "training")


def test_a_search_without_results_says_so_and_is_not_a_failure(shell: Shell) -> None:
    done = shell.run("models", "zebra")
    assert (done.status, done.out, done.err) == (0, "", "no model found\n")


def test_a_list_that_ends_at_the_limit_says_that_there_is_more(shell: Shell) -> None:
    done = shell.run("models", "--limit", "1")
    assert (done.status, len(done.out.splitlines())) == (0, 2)
    assert done.err == "there are more models: raise --limit\n"


def test_schema_shows_the_members_of_input_and_output(shell: Shell) -> None:
    done = shell.run("schema", "fal-ai/flux/dev")
    assert (done.status, done.err) == (0, "")
    input, output = done.out.partition("\noutput\n")[::2]
    prompt = next(line for line in input.splitlines() if line.startswith("prompt "))
    number = next(line for line in input.splitlines() if line.startswith("num_images "))
    assert prompt.split()[:3] == ["prompt", "str", "required"]
    assert number.split()[:3] == ["num_images", "int", "1"]
    assert "1 to 4" in number
    assert any(line.startswith("images ") for line in output.splitlines())


def test_schema_as_json_has_both_schemas(shell: Shell) -> None:
    document = shell.run("schema", "fal-ai/flux/dev", "--json").document
    assert document["endpoint_id"] == "fal-ai/flux/dev"
    assert "prompt" in document["input"]["required"]
    assert "images" in document["output"]["properties"]


def test_the_schema_of_an_unknown_model_is_an_error_with_the_way_out(shell: Shell) -> None:
    done = shell.run("schema", "fal-ai/flx")
    assert (done.status, done.out) == (1, "")
    assert "fal-ai/flx" in done.err
    assert "fal-async models" in done.err


def test_price_shows_the_unit_and_estimates_the_total(shell: Shell) -> None:
    done = shell.run("price", "fal-ai/flux/dev", "--units", "4")
    assert rows(done) == [
        ["fal-ai/flux/dev", "0.025", "USD", "image"],
        ["4", "units:", "about", "0.1", "USD"],
    ]
    document = shell.run("price", "fal-ai/flux/dev", "fal-ai/any-llm", "--calls", "10", "--json").document
    assert [each["unit_price"] for each in document["prices"]] == ["0.025", "0.001"]
    assert document["estimate"]["estimate_type"] == "historical_api_price"


def test_calls_and_units_exclude_each_other(shell: Shell) -> None:
    done = shell.run("price", "fal-ai/flux/dev", "--units", "4", "--calls", "1")
    assert done.status == 2
    assert "--units" in done.err


def test_usage_is_added_up_by_endpoint_with_the_most_expensive_first(used: Shell) -> None:
    assert rows(used.run("usage")) == [
        ["fal-ai/flux/dev", "2", "image", "0.05", "USD"],
        ["fal-ai/any-llm", "1", "request", "0.001", "USD"],
        ["total", "of", "the", "last", "7", "days:", "0.051", "USD"],
    ]


@pytest.mark.parametrize("by", ["key", "hour", "day", "week", "month"])
def test_usage_has_the_same_total_in_each_form(by: str, used: Shell) -> None:
    document = used.run("usage", "--by", by, "--json").document
    assert document["totals"] == {"USD": "0.051"}
    assert sum(Decimal(line["cost"]) for line in document["lines"]) == Decimal("0.051")
    assert all(line["group"] for line in document["lines"])


def test_usage_of_one_endpoint_leaves_out_the_others(used: Shell) -> None:
    document = used.run("usage", "fal-ai/any-llm", "--json").document
    assert [line["group"] for line in document["lines"]] == ["fal-ai/any-llm"]


def test_usage_with_an_api_key_says_which_scope_is_missing(shell: Shell) -> None:
    done = shell.run("usage")
    assert (done.status, done.out) == (3, "")
    assert "admin" in done.err


def test_usage_of_nothing_says_so(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAL_KEY", shell.emulator.admin_key)
    done = shell.run("usage", "--days", "1")
    assert (done.status, done.out) == (0, "")
    assert done.err.startswith("nothing was used in the last 1 days")


def test_requests_are_listed_for_one_endpoint_or_for_all(used: Shell) -> None:
    (row,) = rows(used.run("requests", "fal-ai/flux/dev"))
    assert (row[1], row[4]) == ("fal-ai/flux/dev", "200")
    listed = [row[1] for row in rows(used.run("requests"))]
    assert listed == ["me/broken", "fal-ai/any-llm", "fal-ai/flux/dev"]
    (found,) = used.run("requests", "--search", "cat", "--json").document
    assert found["endpoint_id"] == "fal-ai/flux/dev"


def test_requests_are_filtered_by_their_outcome(used: Shell) -> None:
    (failed,) = rows(used.run("requests", "me/broken", "--status", "error"))
    assert failed[4] == "500"
    assert used.run("requests", "me/broken", "--status", "success").err == "no request found\n"


def test_payloads_are_in_the_json_document_on_request(used: Shell) -> None:
    (record,) = used.run("requests", "fal-ai/flux/dev", "--payloads", "--json").document
    assert record["input"]["num_images"] == 2
    assert len(record["output"]["images"]) == 2
    (record,) = used.run("requests", "fal-ai/flux/dev", "--json").document
    assert record["input"] is None


def test_filters_of_an_endpoint_are_refused_without_one(shell: Shell) -> None:
    done = shell.run("requests", "--days", "2")
    assert (done.status, done.out) == (2, "")
    assert "--days" in done.err
