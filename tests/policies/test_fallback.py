"""What is given instead of a failure."""

from __future__ import annotations

import pytest

from flask_resilience import ConfigurationError
from flask_resilience.policies.fallback import Fallback


@pytest.mark.parametrize(
    ("substitute", "result"),
    [
        pytest.param([], [], id="a value"),
        pytest.param(lambda error: [str(error)], ["broken"], id="a function of the error"),
        pytest.param(repr, "ValueError('broken')", id="a builtin"),
        pytest.param(lambda error, again=3: again, 3, id="a function with defaults"),
    ],
)
def test_result_is_the_substitute(substitute, result):
    """A value is given as it is, a function is asked with the error."""
    assert Fallback(substitute).result(ValueError("broken")) == result


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(lambda: 3, id="no argument"),
        pytest.param(lambda first, second: [], id="two arguments"),
        pytest.param(lambda *, error: [], id="by keyword alone"),
    ],
)
def test_function_of_other_arguments_is_refused_at_once(wrong):
    """A function that could not be called when it is needed is refused when it is given."""
    with pytest.raises(ConfigurationError, match=r"fallback is .*lambda.*one argument"):
        Fallback(wrong)
