"""Which request fails, and how."""

from __future__ import annotations

import pytest

from example_app.faults import Control, Faults, read_control
from flask_resilience import ConfigurationError
from flask_resilience.testing import Reply

FINE = Reply(status=200)


def statuses(control: Control, requests: int) -> list[int]:
    """Return what so many requests are answered."""
    faults = Faults()
    faults.tell(control)
    return [faults.befall(lambda: FINE).status for _ in range(requests)]


@pytest.mark.parametrize(
    ("share", "answered"),
    [
        pytest.param(0, [200, 200, 200, 200], id="none"),
        pytest.param(0.25, [200, 200, 200, 503], id="every fourth"),
        pytest.param(0.5, [200, 503, 200, 503], id="every second"),
        pytest.param(0.75, [200, 503, 503, 503], id="three of four"),
        pytest.param(1, [503, 503, 503, 503], id="all"),
    ],
)
def test_share_of_failures_is_spread_evenly(share: float, answered: list[int]) -> None:
    """A share of the requests fails, at the same places each time."""
    assert statuses(Control(share=share), 4) == answered


@pytest.mark.parametrize("percent", [1, 7, 10, 30, 33, 70, 99])
def test_share_of_failures_is_exact(percent: int) -> None:
    """Of a hundred requests as many fail as the share says, whatever its binary fraction."""
    assert statuses(Control(share=percent / 100), 100).count(503) == percent


def test_statuses_take_turns() -> None:
    """Requests that fail get the statuses one after the other."""
    control = Control(share=0.5, statuses=(500, 503))
    assert statuses(control, 8) == [200, 500, 200, 503, 200, 500, 200, 503]


@pytest.mark.parametrize(
    ("fault", "times"),
    [
        pytest.param(None, 0, id="a status: nothing was done"),
        pytest.param("reset", 1, id="a fault: the answer to what was done is lost"),
    ],
)
def test_failure_acts_or_does_not(fault: str | None, times: int) -> None:
    """Whether a request that fails was acted on depends on how it fails."""
    faults, acted = Faults(), []

    def act() -> Reply:
        acted.append(1)
        return FINE

    faults.tell(Control(share=1, fault=fault))
    assert faults.befall(act).fault == fault
    assert len(acted) == times


def test_delay_holds_for_every_answer() -> None:
    """The delay is no failure: answers that are fine have it too."""
    faults = Faults()
    faults.tell(Control(delay=2))
    reply = faults.befall(lambda: FINE)
    assert (reply.status, reply.delay) == (200, 2.0)


def test_what_is_left_out_is_as_at_the_start() -> None:
    """A control says everything: nothing is kept of the one before."""
    assert read_control(b'{"share": 0.5}') == Control(share=0.5)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(
            b'{"share": 3}', "share is 3; it must be a number from 0 to 1.", id="too large"
        ),
        pytest.param(
            b'{"share": "half"}', "share is 'half'; it must be a number from 0 to 1.", id="text"
        ),
        pytest.param(
            b'{"share": true}', "share is True; it must be a number from 0 to 1.", id="flag"
        ),
        pytest.param(
            b'{"share": NaN}', "share is nan; it must be a number from 0 to 1.", id="no number"
        ),
        pytest.param(
            b'{"delay": 1}', "share is missing; it must be a number from 0 to 1.", id="missing"
        ),
        pytest.param(
            b'{"share": 1, "statuses": [200]}',
            "statuses is [200]; it must be a list of HTTP statuses from 400 to 599.",
            id="status of success",
        ),
        pytest.param(
            b'{"share": 1, "statuses": []}',
            "statuses is []; it must be a list of HTTP statuses from 400 to 599.",
            id="no status",
        ),
        pytest.param(
            b'{"share": 1, "statuses": [true]}',
            "statuses is [True]; it must be a list of HTTP statuses from 400 to 599.",
            id="status a flag",
        ),
        pytest.param(
            b'{"share": 1, "statuses": 503}',
            "statuses is 503; it must be a list of HTTP statuses from 400 to 599.",
            id="status without a list",
        ),
        pytest.param(
            b'{"share": 1, "retry_after": -1}',
            "retry_after is -1; it must be None or a number of seconds from 0 to 3600.",
            id="negative wait",
        ),
        pytest.param(
            b'{"share": 1, "delay": 61}',
            "delay is 61; it must be a number of seconds from 0 to 60.",
            id="long delay",
        ),
        pytest.param(
            b'{"share": 1, "fault": "explode"}',
            "fault is 'explode'; it must be None or one of "
            "'hang', 'reset', 'truncate', 'garbage', 'drip'.",
            id="unknown fault",
        ),
        pytest.param(
            b'{"share": 1, "status": 503}',
            "status is unknown; it must be one of share, statuses, retry_after, fault, delay.",
            id="unknown field",
        ),
        pytest.param(
            b"[1]",
            "The body must be a JSON object of share, statuses, retry_after, fault, delay.",
            id="list",
        ),
        pytest.param(
            b'{"share": ',
            "The body must be a JSON object of share, statuses, retry_after, fault, delay.",
            id="no JSON",
        ),
        pytest.param(
            b"\xff",
            "The body must be a JSON object of share, statuses, retry_after, fault, delay.",
            id="no text",
        ),
    ],
)
def test_wrong_control_names_field_and_rule(body: bytes, message: str) -> None:
    """What cannot be obeyed is refused in a sentence that names the field and its rule."""
    with pytest.raises(ConfigurationError) as caught:
        read_control(body)
    assert str(caught.value) == message
