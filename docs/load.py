"""Draw what an upstream is asked during an outage, with and without budget and circuit breaker.

``python docs/load.py`` plays four minutes for each of four sessions on a clock of its own, counts
the requests that reach the upstream, and writes ``load.svg`` beside this file.
"""

from __future__ import annotations

import heapq
import random
import threading
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import requests
from requests.adapters import BaseAdapter

from flask_resilience import CircuitBreakerPolicy, CircuitOpenError, ResilientSession, RetryPolicy

RATE = 5
"""Calls that begin in each second."""
OUTAGE = range(60, 180)
"""The seconds in which each request is answered 503."""
END = 240
BIN = 4
"""Seconds that are counted together."""
NO_BREAKER = CircuitBreakerPolicy(mode="disabled")
SESSIONS: dict[str, tuple[RetryPolicy, CircuitBreakerPolicy]] = {
    "retries alone": (RetryPolicy(budget=None), NO_BREAKER),
    "retries with a budget": (RetryPolicy(), NO_BREAKER),
    "no retries": (RetryPolicy(attempts=1), NO_BREAKER),
    "with a budget and a circuit breaker": (RetryPolicy(), CircuitBreakerPolicy()),
}


class Timeline:
    """A clock for many threads, of which one runs at a time: the one whose time comes first."""

    def __init__(self) -> None:
        self.now = 0.0
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._turns = count()
        self._free = threading.Semaphore(0)

    def wall(self) -> float:
        """Return the time, in seconds since the epoch."""
        return self.now

    def monotonic(self) -> float:
        """Return the time, in seconds."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let the others run until this thread's time has come."""
        wake = threading.Semaphore(0)
        self._at(self.now + seconds, wake.release)
        self._free.release()
        wake.acquire()

    def start(self, when: float, work: Callable[[], None]) -> None:
        """Have *work* done at *when*, in a thread of its own."""

        def run() -> None:
            try:
                work()
            finally:
                self._free.release()

        self._at(when, lambda: threading.Thread(target=run).start())

    def play(self) -> None:
        """Let all run to their ends."""
        while self._due:
            self.now, _, go = heapq.heappop(self._due)
            go()
            self._free.acquire()

    def _at(self, when: float, go: Callable[[], object]) -> None:
        heapq.heappush(self._due, (when, next(self._turns), go))


class Upstream(BaseAdapter):
    """Answers at once, 503 while the outage lasts, and notes when it was asked."""

    def __init__(self, timeline: Timeline) -> None:
        super().__init__()
        self._timeline = timeline
        self.asked: list[float] = []

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:  # type: ignore[override]
        """Answer *request*."""
        now = self._timeline.now
        self.asked.append(now)
        answer = requests.Response()
        answer.status_code = 503 if OUTAGE.start <= now < OUTAGE.stop else 200
        answer.url, answer.request = request.url or "", request
        return answer

    def close(self) -> None:
        """Have nothing to close."""


def asked(retry: RetryPolicy, breaker: CircuitBreakerPolicy) -> list[float]:
    """Return when the upstream was asked, in seconds from the start."""
    random.seed(1)  # the waits are jittered; each run has the same
    timeline = Timeline()
    upstream = Upstream(timeline)
    with ResilientSession(retry=retry, breaker=breaker, clock=timeline) as session:
        session.mount("http://", upstream)
        for number in range(END * RATE):
            timeline.start(number / RATE, partial(call, session))
        timeline.play()
    return upstream.asked


def call(session: ResilientSession) -> None:
    """Make one call, whatever comes of it."""
    try:
        session.get("http://upstream.example/")
    except CircuitOpenError:
        return


def in_outage(times: list[float]) -> int:
    """Return how many requests there were while the outage lasted."""
    return sum(OUTAGE.start <= time < OUTAGE.stop for time in times)


def play_all() -> dict[str, list[float]]:
    """Return when the upstream was asked, by each session."""
    return {name: asked(*policies) for name, policies in SESSIONS.items()}


LEFT, RIGHT, TOP, BOTTOM = 64, 736, 40, 330
MOST = 25
"""The highest number on the vertical axis."""
LABELS = {
    "retries alone": ("alone", 82, 22.75),
    "retries with a budget": ("budget", 82, 7.25),
    "no retries": ("none", 82, 3.25),
    "with a budget and a circuit breaker": ("both", 72, 0.75),
}
"""Class, and where the name stands: from which second on, and at how many requests a second."""

PAGE = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 400" width="760" height="400" role="img"
     aria-labelledby="title" font-family="system-ui, sans-serif" font-size="14">
  <title id="title">Requests a second at an upstream before, during and after an outage</title>
  <style>
    .page {{ fill: #ffffff; }} .outage {{ fill: #f0f2f5; }}
    .grid {{ stroke: #d5dae1; }} .axis {{ stroke: #3b4a5e; }}
    text {{ fill: #1b2430; }} .middle {{ text-anchor: middle; }} .end {{ text-anchor: end; }}
    polyline {{ fill: none; stroke-width: 2.5; stroke-linejoin: round; }}
    .name {{ font-weight: 600; }}
    polyline.alone {{ stroke: #c2410c; }} polyline.budget {{ stroke: #7e22ce; }}
    polyline.none {{ stroke: #64748b; stroke-dasharray: 6 4; }} polyline.both {{ stroke: #0369a1; }}
    text.alone {{ fill: #c2410c; }} text.budget {{ fill: #7e22ce; }}
    text.none {{ fill: #526075; }} text.both {{ fill: #0369a1; }}
    @media (prefers-color-scheme: dark) {{
      .page {{ fill: #16191e; }} .outage {{ fill: #232a33; }}
      .grid {{ stroke: #37404c; }} .axis {{ stroke: #a9b8cc; }} text {{ fill: #e6ebf2; }}
      polyline.alone {{ stroke: #fb923c; }} polyline.budget {{ stroke: #d8b4fe; }}
      polyline.none {{ stroke: #94a3b8; }} polyline.both {{ stroke: #7dd3fc; }}
      text.alone {{ fill: #fb923c; }} text.budget {{ fill: #d8b4fe; }}
      text.none {{ fill: #b6c2d1; }} text.both {{ fill: #7dd3fc; }}
    }}
  </style>
  <rect class="page" width="760" height="400" rx="10"/>
{drawn}
</svg>
"""


def picture(loads: dict[str, list[float]]) -> str:
    """Return the drawing of when the upstream was asked, by each session."""
    drawn = [*frame(), *(curve(LABELS[name][0], times) for name, times in loads.items())]
    drawn += [
        text(f"name {kind}", across(second), down(height), name)
        for name, (kind, second, height) in LABELS.items()
    ]
    return PAGE.format(drawn="\n".join(f"  {one}" for one in drawn))


def frame() -> list[str]:
    """Return the axes, their numbers and names, and the time of the outage."""
    left, right = across(OUTAGE.start), across(OUTAGE.stop)
    outage = f'x="{left:g}" y="{TOP}" width="{right - left:g}" height="{BOTTOM - TOP}"'
    drawn = [f'<rect class="outage" {outage}/>']
    for number in range(0, MOST, 5):
        drawn.append(line("axis" if number == 0 else "grid", down(number)))
        drawn.append(text("end", LEFT - 10, down(number) + 5, str(number)))
    drawn += [
        text("middle", across(second), BOTTOM + 22, str(second)) for second in range(0, END + 1, 60)
    ]
    drawn.append(text("middle", (left + right) / 2, TOP - 12, "the upstream answers 503"))
    drawn.append(text("middle", (LEFT + RIGHT) / 2, BOTTOM + 50, "seconds"))
    turned = f'transform="rotate(-90 22 {down(MOST / 2):g})"'
    named = text("middle", 22, down(MOST / 2), "requests a second at the upstream")
    return [*drawn, named.replace("<text", f"<text {turned}")]


def curve(kind: str, times: list[float]) -> str:
    """Return the line of one session."""
    counts = Counter(int(time // BIN) for time in times if time < END)
    points = (
        f"{across(BIN * (number + 0.5)):g},{down(counts[number] / BIN):g}"
        for number in range(END // BIN)
    )
    return f'<polyline class="{kind}" points="{" ".join(points)}"/>'


def line(kind: str, height: float) -> str:
    """Return a line from left to right."""
    return f'<path class="{kind}" d="M{LEFT} {height:g} H{RIGHT}"/>'


def text(kind: str, x: float, y: float, words: str) -> str:
    """Return some words."""
    return f'<text class="{kind}" x="{x:g}" y="{y:g}">{words}</text>'


def across(second: float) -> float:
    """Return where *second* is, from the left."""
    return round(LEFT + (RIGHT - LEFT) * second / END, 1)


def down(number: float) -> float:
    """Return where *number* of requests a second is, from the top."""
    return round(BOTTOM - (BOTTOM - TOP) * number / MOST, 1)


def main() -> None:
    """Play all four and write the picture."""
    Path(__file__).with_name("load.svg").write_text(picture(play_all()), encoding="utf-8")


if __name__ == "__main__":
    main()
