"""Models, and facts about the platform (protocol 11.8, 11.11)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from fal_async import ConfigurationError, NotFoundError, ResponseDecodeError
from fal_async.protocol.platform.model_catalog import (
    models_query,
    models_request,
    only_model,
    parse_meta,
    parse_models,
)
from tests.protocol.platform.recorded import HOSTS, answer, path_of, query_of

METADATA = {
    "display_name": "FLUX dev",
    "category": "text-to-image",
    "description": "Makes pictures.",
    "status": "active",
    "tags": ["new", 7],
    "updated_at": "2026-01-26T21:23:31.014Z",
    "date": "2024-08-01T00:00:00",
    "is_favorited": None,
    "duration_estimate": 0.5,
    "kind": "inference",
    "training_endpoint_ids": ["fal-ai/flux-lora-fast-training"],
    "highlighted": False,
}


def page(**row: Any) -> Any:
    return answer(
        {"models": [{"endpoint_id": "fal-ai/flux/dev", **row}], "next_cursor": "Mg==", "has_more": True}
    )


def test_a_model_has_the_fields_of_its_metadata_with_times_as_datetimes() -> None:
    (model,) = parse_models(page(metadata=METADATA)).items
    assert (model.display_name, model.category, model.tags) == ("FLUX dev", "text-to-image", ("new",))
    assert model.updated_at == datetime(2026, 1, 26, 21, 23, 31, 14000, UTC)
    assert model.created_at == datetime(2024, 8, 1, tzinfo=UTC)
    assert model.raw["metadata"]["highlighted"] is False


def test_fals_estimate_in_minutes_becomes_seconds() -> None:
    (model,) = parse_models(page(metadata=METADATA)).items
    assert model.duration_estimate_seconds == 30.0


@pytest.mark.parametrize("metadata", [None, [], {}, {"duration_estimate": "1", "tags": "new", "date": 5}])
def test_a_model_without_usable_metadata_has_its_id_and_nothing_else(metadata: Any) -> None:
    (model,) = parse_models(page(metadata=metadata)).items
    assert model.endpoint_id == "fal-ai/flux/dev"
    assert (model.display_name, model.duration_estimate_seconds, model.tags, model.created_at) == (
        None,
        None,
        (),
        None,
    )


def test_expanded_fields_are_the_value_or_the_reason_of_fal() -> None:
    failed = {"error": {"code": "expansion_failed", "message": "no schema"}}
    (model,) = parse_models(page(openapi=failed, enterprise_status="ready")).items
    assert (model.openapi, model.enterprise_status) == (None, "ready")
    assert model.expand_errors == {"openapi": "expansion_failed: no schema"}
    (model,) = parse_models(page(openapi={"openapi": "3.0.4", "paths": {}})).items
    assert model.openapi == {"openapi": "3.0.4", "paths": {}}


def test_a_page_has_the_cursor_of_the_next_one() -> None:
    assert parse_models(page()).next_cursor == "Mg=="


@pytest.mark.parametrize("body", [{}, [], {"models": {}}, {"models": [1]}, {"models": [{"metadata": {}}]}])
def test_a_body_without_models_raises_an_error_of_decoding(body: Any) -> None:
    with pytest.raises(ResponseDecodeError):
        parse_models(answer(body))


def test_a_search_sends_each_filter_and_repeats_lists_and_the_cursor() -> None:
    query = models_query("flux", "text-to-image", "active", ["a/b", "c/d"], ["openapi-3.0", "anything"], 5)
    request = models_request(HOSTS, query, "Mg==")
    assert path_of(request) == "/v1/models"
    assert query_of(request) == [
        ("q", "flux"),
        ("category", "text-to-image"),
        ("status", "active"),
        ("endpoint_id", "a/b"),
        ("endpoint_id", "c/d"),
        ("expand", "openapi-3.0"),
        ("expand", "anything"),
        ("limit", "5"),
        ("cursor", "Mg=="),
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"limit": 0}, "limit=0: expected an int >= 1"),
        ({"limit": True}, "limit=True"),
        ({"q": 5}, "q is of type int"),
        ({"ids": []}, "endpoint_ids has 0 values: expected 1 to 50, or None"),
        ({"ids": [f"a/b{n}" for n in range(51)]}, "endpoint_ids has 51 values"),
        ({"expand": [""]}, "expand: '': expected a str"),
    ],
)
def test_wrong_filters_raise_before_anything_is_sent(arguments: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        models_query(**arguments)


def test_a_model_that_fal_does_not_list_is_not_found() -> None:
    found = parse_models(page())
    assert only_model(found, "fal-ai/flux/dev") is found.items[0]
    with pytest.raises(NotFoundError, match="a/b"):
        only_model(found, "a/b")


def test_the_facts_about_the_platform_need_no_field() -> None:
    assert parse_meta(answer({"webhook_ip_ranges": ["10.0.0.1/32"]})).webhook_ip_ranges == ("10.0.0.1/32",)
    assert parse_meta(answer({})).webhook_ip_ranges == ()
