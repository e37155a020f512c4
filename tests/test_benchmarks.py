"""The benchmarks' harness: what it repeats, compares and shows. What anything costs is no test."""

from __future__ import annotations

import doctest
import json

import pytest

from benchmarks import report, summary
from benchmarks.harness import Measurement, measure
from benchmarks.report import document, table
from benchmarks.row import (
    MICROSECONDS,
    Budget,
    Figure,
    Measure,
    Row,
    UnavailableError,
    Variant,
    calling,
)
from benchmarks.rows import ROWS
from benchmarks.summary import Spread, percentile, summarise


def missing() -> Figure:
    """Raise as what is not installed does."""
    raise UnavailableError("no server")


def toy_row(**changes: object) -> Row:
    """Return a row of two variants that say themselves how long they take, and of one missing."""
    values: dict[str, object] = {
        "title": "toys",
        "unit": MICROSECONDS,
        "reference": "slow",
        "variants": (
            Variant("fast", lambda _: lambda times: times * 1e-6),
            Variant("slow", lambda _: lambda times: times * 4e-6),
            Variant("absent", lambda _: missing()),
        ),
        "budgets": (
            Budget("fast", 2.0),
            Budget("fast", 0.2, Measure.RATIO, "slow"),
            Budget("slow", 3.0, Measure.DIFFERENCE, "fast", at_least=True),
            Budget("slow", 1.0, Measure.RATIO, "absent"),
        ),
        "operations": 10,
        "figures": {"growth": lambda: Figure(3.0, "B", 4.0, "of a toy"), "lost": missing},
    }
    return Row(**{**values, **changes})


def test_every_variant_is_measured_in_every_round():
    """What cannot be set up is left out with its reason, and the others go on."""
    measured = measure(toy_row(), rounds=3)
    assert {name: len(one) for name, one in measured.seconds.items()} == {"fast": 3, "slow": 3}
    assert measured.operations == {"fast": 10, "slow": 10}
    assert measured.left_out == {"absent": "no server", "lost": "no server"}


def test_order_is_shuffled_but_the_same_each_time():
    """Rounds differ in their order, runs do not."""

    def order_of_a_run() -> str:
        order: list[str] = []

        def variant(name: str) -> Variant:
            return Variant(name, lambda _: lambda times: float(bool(order.append(name)) + 1))

        row = toy_row(variants=tuple(map(variant, "abc")), budgets=(), figures={}, reference="a")
        measure(row, rounds=3)
        return "".join(order)

    order = order_of_a_run()
    rounds = {order[start : start + 3] for start in range(0, 9, 3)}
    assert all(sorted(one) == ["a", "b", "c"] for one in rounds)
    assert len(rounds) > 1
    assert order_of_a_run() == order


def test_set_up_is_undone_at_the_end():
    """What a variant puts on the stack ends with its row."""
    ended: list[str] = []

    def prepare(stack):
        stack.callback(ended.append, "ended")
        return lambda times: 1.0

    measure(toy_row(variants=(Variant("slow", prepare),)), rounds=1)
    assert ended == ["ended"]


def test_a_batch_takes_about_as_long_as_it_should():
    """Without a given number, operations are as many as fit into a batch."""
    row = toy_row(operations=None, batch_seconds=0.001)
    assert measure(row, rounds=1).operations == {"fast": 1000, "slow": 250}


def test_ratios_are_taken_within_a_round():
    """A round in which all is slow changes no ratio."""
    measured = Measurement(
        row=toy_row(),
        rounds=3,
        seconds={"fast": [1e-6, 9e-6, 2e-6], "slow": [4e-6, 36e-6, 8e-6]},
        operations={"fast": 1, "slow": 1},
        figures={},
        left_out={},
    )
    fast, slow = summarise(measured)
    assert fast.value.median == pytest.approx(2.0)
    assert (fast.ratio.p10, fast.ratio.median, fast.ratio.p90) == pytest.approx((0.25,) * 3)
    assert [one.met for one in fast.verdicts] == [True, False]
    assert slow.verdicts[0].measured.median == pytest.approx(6.0)


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        pytest.param([5.0], 0.9, 5.0, id="one value"),
        pytest.param([1.0, 2.0], 0.5, 1.5, id="between two"),
        pytest.param([9.0, *map(float, range(9))], 0.1, 0.9, id="unordered"),
        pytest.param([1.0, 2.0, 3.0], 1.0, 3.0, id="the largest"),
    ],
)
def test_percentile(values, share, expected):
    """Between two values, it lies in proportion."""
    assert percentile(values, share) == pytest.approx(expected)


def test_table_shows_budgets_and_what_is_missing():
    """A line for each variant and figure, with its budgets and whether each is met."""
    lines = table("toy", measure(toy_row(), rounds=2)).splitlines()
    assert lines[0] == "toy: toys (2 rounds, too few to judge by)"
    assert [" ".join(line.split()) for line in lines[1:6]] == [
        "µs a call p10..p90 x slow p10..p90 budget met",
        "fast 1.00 1.00..1.00 0.250 0.250..0.250 ≤ 2 µs, ≤ 0.2 x slow yes, no",
        "slow 4.00 4.00..4.00 1.00 1.00..1.00 ≥ 3 µs over fast yes",
        "",
        "growth 3.00 B ≤ 4 B yes",
    ]
    assert lines[6:] == [
        "  growth: of a toy",
        "  left out: absent (no server)",
        "  left out: lost (no server)",
    ]


@pytest.mark.parametrize("module", [report, summary])
def test_examples_in_docstrings_hold(module):
    """What a docstring shows is what comes of it."""
    assert doctest.testmod(module) == (0, 1)


def test_document_is_json_with_what_was_used():
    """Numbers of every round, and of the machine only what kind it is."""
    told = json.loads(json.dumps(document({"toy": measure(toy_row(), rounds=2)})))
    assert set(told) == {"date", "python", "platform", "packages", "seed", "rows"}
    assert "Flask" in told["packages"]
    row = told["rows"]["toy"]
    assert [one["variant"] for one in row["variants"]] == ["fast", "slow"]
    assert row["variants"][0]["rounds"] == pytest.approx([1.0, 1.0])
    assert row["variants"][0]["ratio"]["median"] == pytest.approx(0.25)
    assert [one["met"] for one in row["variants"][0]["verdicts"]] == [True, False]
    assert row["figures"]["growth"]["met"] is True
    assert row["left_out"] == {"absent": "no server", "lost": "no server"}


def test_real_calls_take_time():
    """A call that is repeated takes more than none, and gives a spread in order."""
    row = toy_row(
        variants=(Variant("slow", lambda _: calling(dict)),), operations=None, batch_seconds=0.0005
    )
    (values,) = measure(row, rounds=3).seconds.values()
    spread = Spread.of(values)
    assert 0 < spread.p10 <= spread.median <= spread.p90


@pytest.mark.parametrize("make", [pytest.param(one, id=name) for name, one in ROWS.items()])
def test_row_names_only_variants_that_it_has(make):
    """Reference and budgets of each real row are about its own variants."""
    row = make()
    names = {one.name for one in row.variants}
    assert len(names) == len(row.variants)
    assert row.reference in names
    assert {one.variant for one in row.budgets} <= names
    assert {one.than for one in row.budgets} <= {"", *names}
