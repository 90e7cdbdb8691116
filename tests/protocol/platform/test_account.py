"""Keys, the account and workflows: secrets stay hidden, and nothing is created twice (protocol 11.11, 15.4)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import attrs
import pytest

from fal_async import ConfigurationError, PermissionDeniedError, ResponseDecodeError
from fal_async.protocol.api_errors import error_of
from fal_async.protocol.http import PAID
from fal_async.protocol.platform.account_reports import (
    access_controls_request,
    billing_request,
    focus_query,
    focus_request,
    organization_focus_request,
    parse_billing,
    parse_csv,
    parse_teams,
    teams_request,
)
from fal_async.protocol.platform.key_records import (
    NewApiKey,
    creation_request,
    deletion_of_key,
    keys_query,
    keys_request,
    parse_keys,
    parse_new_key,
)
from fal_async.protocol.platform.workflow_records import (
    new_workflow_request,
    parse_workflow,
    parse_workflows,
    workflow_request,
    workflows_query,
    workflows_request,
)
from tests.protocol.platform.recorded import HOSTS, answer, path_of, query_of

CONTENTS: dict[str, Any] = {"name": "w", "version": "1.0.0", "nodes": {}, "output": {}, "schema": {}}
NEW_KEY = {"key_id": "k-1", "key_secret": "hush", "key": "k-1:hush"}


def test_a_key_has_its_name_and_time_but_no_secret() -> None:
    row = {"key_id": "k-1", "alias": "ci", "scope": "API", "created_at": "2026-03-01T12:00:00Z"}
    (key,) = parse_keys(answer({"keys": [row], "next_cursor": None})).items
    assert (key.key_id, key.alias, key.scope) == ("k-1", "ci", "API")
    assert key.created_at == datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert query_of(keys_request(HOSTS, keys_query("creator_info", 2))) == [
        ("expand", "creator_info"),
        ("limit", "2"),
    ]


def test_a_new_key_shows_its_secret_only_when_asked() -> None:
    key = parse_new_key(answer(NEW_KEY, 201))
    assert (key.key, key.key_secret) == ("k-1:hush", "hush")
    assert "hush" not in repr(key)
    assert repr(key) == "NewApiKey(key_id='k-1')"
    assert isinstance(key, NewApiKey)


@pytest.mark.parametrize(
    "body", ["not json hush", "[]", '{"key_id": "k-1", "key_secret": "hush"}', '{"key": 5}']
)
def test_a_new_key_that_can_not_be_read_leaves_no_secret_in_the_error(body: str) -> None:
    with pytest.raises(ResponseDecodeError) as caught:
        parse_new_key(attrs.evolve(answer(body), is_secret=True))
    assert "keys.list()" in str(caught.value)
    assert "hush" not in f"{caught.value!r} {caught.value.body} {caught.value.__cause__!r}"


def test_creating_is_never_sent_twice_because_fal_takes_no_idempotency_key() -> None:
    for request in (
        creation_request(HOSTS, "ci"),
        new_workflow_request(HOSTS, "w-1", "W", CONTENTS, is_public=False),
    ):
        assert request.operation in PAID
        assert not request.harmless
        assert "Idempotency-Key" not in request.headers


@pytest.mark.parametrize("alias", ["", "  ", "x" * 256, None, 7])
def test_a_wrong_name_of_a_key_raises_before_sending(alias: Any) -> None:
    with pytest.raises(ConfigurationError, match="alias: expected a str of 1 to 255 characters"):
        creation_request(HOSTS, alias)


def test_a_whole_key_is_not_sent_as_an_id_and_not_shown() -> None:
    with pytest.raises(ConfigurationError) as caught:
        deletion_of_key(HOSTS, "k-1:hush", "i-1")
    assert "hush" not in str(caught.value)
    request = deletion_of_key(HOSTS, "k-1", "i-1")
    assert (path_of(request), request.headers["Idempotency-Key"]) == ("/v1/keys/k-1", "i-1")


def test_a_403_says_which_key_is_needed_before_the_words_of_fal() -> None:
    body = {"error": {"type": "authorization_error", "message": "Admin API key required for this endpoint."}}
    error = error_of(billing_request(HOSTS), answer(body, 403))
    assert isinstance(error, PermissionDeniedError)
    assert str(error) == (
        "403 this call needs an admin key (https://fal.ai/dashboard/keys, scope ADMIN): "
        "Admin API key required for this endpoint."
    )
    assert "root team" in str(error_of(teams_request(HOSTS), answer(body, 403)))
    assert str(error_of(access_controls_request(HOSTS), answer(body, 403))).startswith("403 Admin API key")


def test_a_balance_is_exact_and_may_be_missing() -> None:
    billing = parse_billing(
        answer('{"username": "me", "credits": {"current_balance": 24.50, "currency": "USD"}}')
    )
    assert (billing.username, billing.current_balance, billing.currency) == ("me", Decimal("24.50"), "USD")
    assert parse_billing(answer({"username": "me"})).current_balance is None
    assert query_of(billing_request(HOSTS)) == [("expand", "credits")]


def test_teams_have_their_names_and_which_one_is_the_root() -> None:
    row = {"username": "root", "name": "Root", "is_org_root": True, "created_at": "2026-03-01T00:00:00Z"}
    (team,) = parse_teams(answer({"teams": [row]}))
    assert (team.username, team.is_org_root) == ("root", True)


def test_a_report_is_asked_for_and_read_as_csv() -> None:
    query = focus_query("invoice", [], billing_month="2026-01", charge_month=None, organization=True)
    request = focus_request(HOSTS, query)
    assert request.headers["Accept"] == "text/csv"
    assert query_of(request) == [
        ("source", "invoice"),
        ("billing_month", "2026-01"),
        ("expand", "organization"),
    ]
    assert parse_csv(answer("\ufeffBilledCost\n1.5\n")) == "BilledCost\n1.5\n"
    query = focus_query(
        "estimate", [("start", "2026-01-01")], billing_month=None, charge_month="2026-01", team_username="t"
    )
    assert query_of(organization_focus_request(HOSTS, query))[1:] == [
        ("charge_month", "2026-01"),
        ("start", "2026-01-01"),
        ("team_username", "t"),
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"source": None},
        {"billing_month": "2026-13"},
        {"billing_month": "January"},
        {"billing_month": "2026-01", "charge_month": "2026-01"},
        {"organization": "yes"},
    ],
)
def test_wrong_arguments_of_a_report_raise_before_sending(wrong: dict[str, Any]) -> None:
    given: dict[str, Any] = {"source": "invoice", "billing_month": None, "charge_month": None} | wrong
    with pytest.raises(ConfigurationError):
        focus_query(given.pop("source"), [], **given)


def test_a_workflow_of_a_list_has_its_endpoint_id_and_no_definition() -> None:
    row = {"name": "w-1", "title": "W", "user_nickname": "me", "tags": ["a"], "endpoint_ids": ["a/b"]}
    page = parse_workflows(answer({"workflows": [row], "next_cursor": None, "has_more": False, "total": 1}))
    (workflow,) = page.items
    assert (workflow.endpoint_id, workflow.tags, workflow.endpoint_ids) == (
        "workflows/me/w-1",
        ("a",),
        ("a/b",),
    )
    assert (workflow.contents, page.total) == (None, 1)
    assert query_of(workflows_request(HOSTS, workflows_query("w", "a/b", 5))) == [
        ("search", "w"),
        ("used_endpoint_ids", "a/b"),
        ("limit", "5"),
    ]


def test_a_workflow_with_its_definition_is_read_and_created() -> None:
    row = {"name": "w-1", "title": "W", "user_nickname": "me", "is_public": False, "contents": CONTENTS}
    workflow = parse_workflow(answer({"workflow": row}))
    assert (workflow.contents, workflow.is_public) == (CONTENTS, False)
    request = new_workflow_request(HOSTS, "w-1", "W", CONTENTS, is_public=False)
    assert isinstance(request.body, bytes)
    assert json.loads(request.body) == {"name": "w-1", "title": "W", "contents": CONTENTS, "is_public": False}
    assert path_of(workflow_request(HOSTS, "me", "w-1")) == "/v1/workflows/me/w-1"


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "a b"},
        {"name": "x" * 129},
        {"title": ""},
        {"title": "x" * 257},
        {"contents": []},
        {"contents": {"name": "w"}},
        {"is_public": 1},
    ],
)
def test_a_wrong_workflow_raises_before_sending(wrong: dict[str, Any]) -> None:
    given: dict[str, Any] = {"name": "w", "title": "W", "contents": CONTENTS, "is_public": False} | wrong
    with pytest.raises(ConfigurationError):
        new_workflow_request(HOSTS, **given)


@pytest.mark.parametrize("body", [{}, {"workflow": []}, {"workflow": {"title": "W"}}])
def test_a_body_without_a_workflow_raises_an_error_of_decoding(body: Any) -> None:
    with pytest.raises(ResponseDecodeError):
        parse_workflow(answer(body))
