"""Billable units and amounts of money are read, added and multiplied exactly."""

from __future__ import annotations

from decimal import Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fal_async.protocol.amounts import billable_units, dollars, product, total

AMOUNTS = st.decimals(min_value=0, max_value=10**18, places=18)


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("1", "1"),
        ("0", "0"),
        (" 1.50 ", "1.50"),
        ("0.30000000000000004", "0.30000000000000004"),
        ("1e-05", "0.00001"),
        ("2E+3", "2E+3"),
    ],
)
def test_billable_units_are_exactly_the_text_of_the_header(text: str, units: str) -> None:
    found = billable_units({"x-fal-billable-units": text})
    assert found == Decimal(units)
    assert "e" in text.lower() or str(found) == text.strip(), "no digit is lost"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-1",
        "NaN",
        "Infinity",
        "1_000",
        "1,5",
        "\u0661",
        "0x10",
        "1e999",
        "1" * 19,
        ".5",
        "5.",
        "1 2",
        "+1",
    ],
)
def test_billable_units_that_are_not_plain_numbers_are_none(text: str) -> None:
    assert billable_units({"x-fal-billable-units": text}) is None
    assert billable_units({}) is None


@given(st.text(max_size=12))
def test_billable_units_never_raise_and_are_finite(text: str) -> None:
    found = billable_units({"x-fal-billable-units": text})
    assert found is None or (found.is_finite() and found >= 0)


def test_sums_and_products_of_decimal_texts_have_no_binary_rounding() -> None:
    assert total([Decimal("0.1"), Decimal("0.2")]) == Decimal("0.3")
    assert product(Decimal("0.025"), Decimal("3.0000001")) == Decimal("0.0750000025")
    assert total([]) == 0


@given(st.lists(AMOUNTS, max_size=5), AMOUNTS)
def test_arithmetic_is_exact_in_a_decimal_context_of_two_digits(
    amounts: list[Decimal], price: Decimal
) -> None:
    with localcontext(prec=2):
        found, products = total(amounts), [product(price, amount) for amount in amounts]
    assert Fraction(found) == sum(map(Fraction, amounts))
    assert [Fraction(one) for one in products] == [Fraction(price) * Fraction(amount) for amount in amounts]


def test_dollars_below_one_are_shown_with_two_significant_digits() -> None:
    amounts = ("0", "0.000025", "0.0031", "0.1", "0.0500", "0.125", "1", "12345.678", "1E+2")
    shown = ["$0.00", "$0.000025", "$0.0031", "$0.10", "$0.05", "$0.12", "$1.00", "$12,345.68", "$100.00"]
    assert [dollars(Decimal(amount)) for amount in amounts] == shown
