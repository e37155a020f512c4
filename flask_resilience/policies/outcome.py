"""What an attempt came to, in the words the policies understand."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Outcome(Enum):
    """What an attempt says about the health of its upstream."""

    SUCCESS = "success"
    FAILURE = "failure"
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The judgement of one attempt.

    :param outcome: What the circuit learns from it.
    :param failed: Whether another attempt would be wanted.
    :param status: Status of the answer; ``None`` if there was none.
    :param error_type: Class of the exception; ``None`` if there was none.
    :param refusal: Why another attempt would be wrong although wanted; ``None`` if it would not.
    :param unsent: Whether the upstream provably got nothing of it.
    :param retry_after: Seconds the upstream asked to be left alone, if it did.
    :param fails_trial: Whether it fails a trial although it is no failure otherwise (429).
    :param host_fault: Whether the failure is this host's own (no DNS, no trust, no sockets), so
        that it must not open a circuit that other hosts share.
    :param abandoned: Whether the answer was let go by everybody, and this is told from within a
        garbage collection, where nothing may be waited for.
    """

    outcome: Outcome
    failed: bool = False
    status: int | None = None
    error_type: str | None = None
    refusal: str | None = None
    unsent: bool = False
    retry_after: float | None = None
    fails_trial: bool = False
    host_fault: bool = False
    abandoned: bool = False

    @property
    def reason(self) -> str:
        """Return what there was, in a word: the exception's class, else the status."""
        return self.error_type or str(self.status)


SUCCEEDED = Verdict(outcome=Outcome.SUCCESS)
"""The verdict on an attempt that came to a good end."""

RELEASED = Verdict(outcome=Outcome.IGNORED)
"""The verdict on an attempt that came to nothing that counts."""
