"""A circuit as text: nothing is lost, and nothing that is read can do harm."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_resilience.policies.circuit import (
    Circuit,
    Control,
    Mode,
    State,
    Transition,
    Trial,
)
from flask_resilience.policies.window import Bucket, Window
from flask_resilience.storage import encoding
from flask_resilience.storage.encoding import decode, encode

WHOLE = st.integers(-(2**53), 2**53)
NUMBER = st.floats(allow_nan=False, allow_infinity=False)
TEXT = st.text(st.characters(), max_size=20)  # lone surrogates too
STATE = st.sampled_from(State)


def made(kind, **fields):
    """Return what draws instances of *kind*, each field given or left at its default."""
    required = [
        one.name
        for one in dataclasses.fields(kind)
        if one.default is one.default_factory is dataclasses.MISSING
    ]
    optional = {name: drawn for name, drawn in fields.items() if name not in required}
    return st.fixed_dictionaries({name: fields[name] for name in required}, optional=optional).map(
        lambda values: kind(**values)
    )


def some(drawn):
    """Return what draws short tuples."""
    return st.lists(drawn, max_size=4).map(tuple)


BUCKETS = made(Bucket, start=NUMBER, successes=WHOLE, failures=WHOLE, slow=WHOLE)
CIRCUITS = made(
    Circuit,
    state=STATE,
    generation=WHOLE,
    window=made(Window, buckets=some(BUCKETS)),
    failures=WHOLE,
    successes=WHOLE,
    since=NUMBER,
    open_until=NUMBER,
    reopened=WHOLE,
    trials=some(made(Trial, number=WHOLE, expires_at=NUMBER)),
    trials_started=WHOLE,
    last_failure=TEXT,
    last_failure_at=st.none() | NUMBER,
    rejected=WHOLE,
    control=st.none()
    | made(Control, mode=st.sampled_from(Mode), actor=TEXT, reason=TEXT, until=st.none() | NUMBER),
    transitions=some(
        made(
            Transition,
            generation=WHOLE,
            from_state=STATE,
            to_state=STATE,
            at=NUMBER,
            reason=TEXT,
            actor=st.none() | TEXT,
            calls=WHOLE,
            failures=WHOLE,
            failure_rate=NUMBER,
            slow_rate=NUMBER,
            open_for=st.none() | NUMBER,
        )
    ),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from([one.name for one in dataclasses.fields(Circuit)])


@given(CIRCUITS)
def test_circuit_survives(circuit):
    """Whatever a circuit holds, the same comes back."""
    assert decode(encode(circuit)) == circuit


@given(st.dictionaries(NAMES, JSON, max_size=4))
def test_any_json_is_a_circuit_or_none(values):
    """Fields that hold anything make a circuit that can be encoded again, or none."""
    circuit = decode(json.dumps(values))
    assert circuit is None or decode(encode(circuit)) == circuit


@given(st.text() | st.binary())
def test_any_text_is_no_circuit(text):
    """Text and bytes that are no circuit are none, and raise nothing."""
    assert decode(text) is None or json.loads(text) is not None


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("{", id="cut off"),
        pytest.param(b"\xff\xfe\xfa", id="no text"),
        pytest.param("[]", id="a list"),
        pytest.param("null", id="null"),
        pytest.param('{"state":"ajar"}', id="unknown state"),
        pytest.param('{"state":["open"]}', id="a state in a list"),
        pytest.param('{"failures":"5"}', id="a number as text"),
        pytest.param('{"failures":true}', id="a truth value as a number"),
        pytest.param('{"failures":1.5}', id="half a failure"),
        pytest.param('{"failures":1e400}', id="an infinite number"),
        pytest.param('{"failures":' + "9" * 30 + "}", id="a huge number"),
        pytest.param('{"failures":' + "9" * 9999 + "}", id="a number of 9,999 digits"),
        pytest.param('{"since":1e400}', id="a time without end"),
        pytest.param('{"since":NaN}', id="not a number"),
        pytest.param('{"since":-Infinity}', id="infinity"),
        pytest.param('{"since":' + "9" * 400 + "}", id="a time beyond floats"),
        pytest.param('{"last_failure":null}', id="nothing as text"),
        pytest.param('{"window":[]}', id="a window that is a list"),
        pytest.param('{"window":{"buckets":{}}}', id="buckets by name"),
        pytest.param('{"window":{"buckets":[{}]}}', id="a bucket without its start"),
        pytest.param('{"trials":[1]}', id="a trial that is a number"),
        pytest.param('{"trials":"ab"}', id="trials as text"),
        pytest.param('{"control":{"mode":"open"}}', id="half a control"),
        pytest.param('{"transitions":[[]]}', id="a transition that is a list"),
        pytest.param("[" * 100_000, id="deep lists"),
        pytest.param('{"control":' * 100_000, id="deep objects"),
    ],
)
def test_malformed_text_is_no_circuit(text):
    """What is not a circuit in every part is none."""
    assert decode(text) is None


def test_healthy_circuit_is_short():
    """Nothing is written that is at its default."""
    assert encode(Circuit()) == "{}"
    window = Window(tuple(Bucket(1_700_000_000.0 + 6 * number, 12) for number in range(10)))
    assert len(encode(Circuit(window=window, generation=3, since=1_700_000_000.123))) < 500


def test_newer_version_can_be_read():
    """What a newer version wrote beside is ignored, at every depth."""
    text = '{"failures":2,"mood":"blue","window":{"buckets":[{"start":4.0,"p95":[1]}],"kind":1}}'
    assert decode(text) == Circuit(failures=2, window=Window((Bucket(4),)))


def test_whole_number_is_a_time():
    """A time without a fraction, as other programs write it, is the same time."""
    assert decode('{"since":1700000000}') == Circuit(since=1_700_000_000.0)


@pytest.mark.parametrize(
    "shape",
    [one for one in vars(encoding).values() if isinstance(one, encoding.Shape)],
    ids=lambda shape: shape.kind.__name__,
)
def test_every_field_is_read(shape):
    """A field that a dataclass is given is read as well as written."""
    assert set(shape.parts) == {one.name for one in dataclasses.fields(shape.kind)}
