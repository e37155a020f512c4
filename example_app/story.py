"""The demo: users ask on and on while the scheduling service works, ails, fails and recovers.

A scene ends on what was seen and never on a time, so it holds for one process and for several
workers. These share one circuit: it opens once, and one trial closes it for all. The app's log says
which worker answered, and how often it had to ask the scheduling service.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import requests

from example_app.app import FAILURES_THAT_OPEN
from example_app.processes import wait_until

SCENE_SECONDS = 15.0
LOG_SECONDS = 5.0
ANSWERS = 6
"""How many answers of the kind that ends a scene the users must have seen."""


class StoryError(Exception):
    """The story did not come out as told."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One answer.

    :param code: Of a problem; empty for other answers.
    :param sent: How many requests it cost the scheduling service.
    :param worker: ID of the process that answered.
    """

    status: int
    code: str
    milliseconds: float
    sent: int
    worker: int
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What is done to the scheduling service, and what the users have to see.

    :param control: What the service is told.
    :param statuses: All that a user may see meanwhile.
    :param goal: Says of an answer whether it is of the kind that ends the scene.
    :param everywhere: Whether each worker has to come to that, and not just one.
    :param opens: Whether the circuit opens in it, which bounds what the service has to bear.
    :param pause: Before users ask again, in seconds; spares the rate limit while all must wait.
    """

    name: str
    tells: str
    control: Mapping[str, Any]
    statuses: frozenset[int]
    goal: Callable[[Seen], bool]
    everywhere: bool = False
    opens: bool = False
    pause: float = 0.0

    def ended(self, seen: Sequence[Seen], workers: int) -> bool:
        """Say whether enough was seen, and the goal is where things have come to."""
        latest = {one.worker if self.everywhere else 0: one for one in seen}
        enough = sum(map(self.goal, seen)) >= ANSWERS
        reached = len(latest) >= (workers if self.everywhere else 1)
        return enough and reached and all(map(self.goal, latest.values()))


SCENES = (
    Scene(
        name="healthy",
        tells="the scheduling service works",
        control={"share": 0},
        statuses=frozenset({200}),
        goal=lambda answer: answer.sent == 1,
    ),
    Scene(
        name="flaky",
        tells="every fourth of its answers is a 503: retries win, users notice nothing",
        control={"share": 0.25, "statuses": [503]},
        statuses=frozenset({200}),
        goal=lambda answer: answer.sent > 1,
    ),
    Scene(
        name="down",
        tells="all of its answers are 500: the circuit opens for every worker, failing gets fast",
        control={"share": 1, "statuses": [500]},
        statuses=frozenset({502, 503}),
        goal=lambda answer: answer.status == 503 and answer.sent == 0,
        everywhere=True,
        opens=True,
        pause=0.1,
    ),
    Scene(
        name="back",
        tells="it works again: one trial closes the circuit for every worker",
        control={"share": 0},
        statuses=frozenset({200, 503}),
        goal=lambda answer: answer.status == 200,
        everywhere=True,
        pause=0.5,
    ),
)


@dataclass(frozen=True, slots=True)
class Stage:
    """Where the story is played.

    :param app: Address of the app.
    :param upstream: Address of the scheduling service.
    :param log: What the app has written.
    :param workers: How many processes share the circuit.
    """

    app: str
    upstream: str
    log: Path
    workers: int = 1

    def ask(self) -> Seen:
        """Let a user ask for free times."""
        url, wanted = f"{self.app}/availability", {"service": "haircut", "day": "2030-05-06"}
        started = time.perf_counter()
        answer = requests.get(url, params=wanted, timeout=SCENE_SECONDS)
        milliseconds = (time.perf_counter() - started) * 1000
        is_problem = answer.headers.get("Content-Type") == "application/problem+json"
        request_id = answer.headers.get("X-Request-ID", "")
        logged = [json.loads(line) for line in self.log_of(request_id)]
        return Seen(
            status=answer.status_code,
            code=answer.json()["code"] if is_problem else "",
            milliseconds=milliseconds,
            sent=sum(one["attempts"] for one in logged if one["event"] == "http.client.finish"),
            worker=logged[-1]["pid"],
            request_id=request_id,
        )

    def ask_at_once(self, users: int) -> list[Seen]:
        """Let so many users ask at the same time: one after the other meet the same worker."""
        with ThreadPoolExecutor(users) as pool:
            return [asked.result() for asked in [pool.submit(self.ask) for _ in range(users)]]

    def log_of(self, request_id: str) -> list[str]:
        """Return the log lines of one request, once the last of them has come.

        :raises StoryError: If it does not come.
        """
        lines: list[str] = []

        def complete() -> bool:
            found = {line: _fields(line) for line in self.log.read_text().splitlines()}
            lines[:] = [line for line in found if found[line].get("request_id") == request_id]
            return any(found[line]["event"] == "http.server.request.finish" for line in lines)

        if not wait_until(complete, LOG_SECONDS):
            raise StoryError(f"the log of request {request_id} has no finish line")
        return lines

    def circuit(self) -> dict[str, Any]:
        """Return what the worker that happens to answer says of the circuit."""
        answer = requests.get(f"{self.app}/circuit", timeout=SCENE_SECONDS)
        answer.raise_for_status()
        shown: dict[str, Any] = answer.json()
        return shown

    def transitions_logged(self) -> list[tuple[str, str]]:
        """Return from which state to which the circuit went, as the workers logged it."""
        logged = map(_fields, self.log.read_text().splitlines())
        told = [one for one in logged if one.get("event") == "circuit_breaker.transition"]
        return [(one["from_state"], one["to_state"]) for one in told]

    def tell_upstream(self, control: Mapping[str, Any]) -> None:
        """Make the scheduling service fail, or work."""
        requests.put(f"{self.upstream}/control", json=control, timeout=5).raise_for_status()

    def upstream_requests(self) -> int:
        """Return how many requests the scheduling service has had."""
        return int(requests.get(f"{self.upstream}/control", timeout=5).json()["requests"])


def play(stage: Stage, write: Callable[[str], object]) -> None:
    """Play all scenes, show the log of one request that was retried, and the circuit.

    :param write: Takes each piece of the narrative, line ends included.
    :raises StoryError: If it does not come out as told; names the scene.
    """
    write("scene   answers  status       ms: median  slowest  upstream requests each\n")
    retried = ""
    for scene in SCENES:
        try:
            seen = _play_scene(stage, scene)
        except (StoryError, requests.RequestException) as error:
            raise StoryError(f"in {scene.name!r} {error}") from error
        write(f"{scene.name}: {scene.tells}\n")
        write("".join(f"{row}\n" for row in _rows(seen)))
        if scene.opens:
            sent = sum(one.sent for one in seen)
            write(f"               requests in all: {sent}; workers: {stage.workers}\n")
        if scene.name == "flaky":
            retried = seen[-1].request_id
    write(f"\nThe log of request {retried}, which was retried:\n")
    write("".join(f"{line}\n" for line in stage.log_of(retried)))
    write("\nThe circuit, as every worker knows it:\n")
    write("".join(f"{row}\n" for row in _story_of_the_circuit(stage)))


def _play_scene(stage: Stage, scene: Scene) -> list[Seen]:
    """Return all that was seen until the scene ended."""
    stage.tell_upstream(scene.control)
    before, seen = stage.upstream_requests(), list[Seen]()
    crowd = 2 * stage.workers if scene.everywhere and stage.workers > 1 else 1

    def ended() -> bool:
        round_ = stage.ask_at_once(crowd)
        seen.extend(round_)
        for one in round_:
            if one.status not in scene.statuses:
                raise StoryError(f"a user saw {one.status} {one.code}".rstrip())
        return scene.ended(seen, stage.workers)

    if not wait_until(ended, SCENE_SECONDS, scene.pause):
        raise StoryError(f"the end had not come after {SCENE_SECONDS:g} s")
    logged, had = sum(one.sent for one in seen), stage.upstream_requests() - before
    if logged != had:
        raise StoryError(f"the log tells of {logged} requests, the scheduling service of {had}")
    if scene.opens and had > _most_requests(stage):
        raise StoryError(f"the scheduling service had {had} requests, although the circuit opened")
    return seen


def _most_requests(stage: Stage) -> int:
    """Return what a service that is down has to bear at most: what opens the circuit and trials.

    When it opens, each other worker may have one more under way, or begin one within the 250 ms
    for which it goes by what it knew.
    """
    trials = stage.transitions_logged().count(("open", "half_open"))
    return FAILURES_THAT_OPEN + stage.workers - 1 + trials


def _story_of_the_circuit(stage: Stage) -> Iterator[str]:
    """Yield one line for each transition that all workers share.

    :raises StoryError: If there was more than one opening, or one that was not told just once.
    """
    shown = stage.circuit()
    shared = [(one["from_state"], one["to_state"]) for one in shown["transitions"]]
    if shown["state"] != "closed" or shared.count(("closed", "open")) != 1:
        raise StoryError(f"the circuit is {shown['state']} in the end, and went {shared}")
    if Counter(shared) != Counter(stage.transitions_logged()):
        raise StoryError(f"the circuit went {shared}, the log tells {stage.transitions_logged()}")
    for one in shown["transitions"]:
        yield f"  {one['from_state']:9} -> {one['to_state']:9}  {one['reason']}"
    yield f"  {shown['state']} in the end; calls rejected: {shown['rejected_total']}"


def _rows(seen: Sequence[Seen]) -> Iterator[str]:
    """Yield one line for each kind of answer, in the order of their first appearance."""
    for status, code in dict.fromkeys((one.status, one.code) for one in seen):
        alike = [one for one in seen if (one.status, one.code) == (status, code)]
        times = [one.milliseconds for one in alike]
        sent = sorted({one.sent for one in alike})
        each = " - ".join(str(number) for number in dict.fromkeys((sent[0], sent[-1])))
        yield f"{len(alike):15}  {status} {code:8} {median(times):10.0f} {max(times):8.0f}  {each}"


def _fields(line: str) -> dict[str, Any]:
    """Return what a line of the log says; nothing if it is not one of ours."""
    try:
        fields = json.loads(line)
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}
