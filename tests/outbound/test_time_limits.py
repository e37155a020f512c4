"""Every form of ``timeout=`` that requests takes has a meaning here."""

from __future__ import annotations

import pytest
from urllib3 import Timeout

from flask_resilience import ClientOptions, ConfigurationError
from flask_resilience.outbound.time_limits import TimeLimits

OPTIONS = ClientOptions(timeout=15, connect_timeout=3)


@pytest.mark.parametrize(
    ("timeout", "limits"),
    [
        pytest.param(None, (3, 15), id="not given: the settings"),
        pytest.param(2, (3, 2), id="a number: the attempt"),
        pytest.param((1, 2), (1, 2), id="a pair"),
        pytest.param((None, 2), (3, 2), id="a pair without a connect limit"),
        pytest.param((1, None), (1, 15), id="a pair without an attempt limit"),
        pytest.param(Timeout(connect=1, read=2), (1, 2), id="urllib3's, both"),
        pytest.param(Timeout(read=2), (3, 2), id="urllib3's, one"),
        pytest.param(Timeout(connect=None, read=None), (3, 15), id="urllib3's, none"),
    ],
)
def test_timeout(timeout, limits):
    """Each form gives a connect and an attempt limit."""
    made = TimeLimits.of(timeout, OPTIONS)
    assert (made.connect, made.attempt) == limits


@pytest.mark.parametrize("timeout", ["soon", 0, -1, True, (1, 2, 3), (1, "2"), float("nan")])
def test_what_is_no_time_is_refused(timeout):
    """A limit that is no number of seconds raises and names the argument."""
    with pytest.raises(ConfigurationError, match="timeout is"):
        TimeLimits.of(timeout, OPTIONS)
