"""The scheduling service over HTTP, as a process of its own."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
import requests

from example_app.processes import ROOT

Tell = Callable[..., requests.Response]
COMMAND = [sys.executable, "-m", "example_app.upstream"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_process_announces_itself_and_ends_cleanly(number: signal.Signals) -> None:
    """It writes one JSON line with its URL, answers there, and ends with 0 on either signal."""
    with subprocess.Popen(
        COMMAND, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        assert requests.get(f"{url}/services", timeout=5).ok
        process.send_signal(number)
        assert process.communicate(timeout=10) == ("", "")
    assert process.returncode == 0


def test_taken_port_is_told() -> None:
    """A port that is in use ends it with 1 and a sentence, not with a traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = subprocess.run(
            [*COMMAND, "--port", str(port)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"Cannot listen on 127.0.0.1:{port}: ")


def test_control_shows_what_was_told(upstream: str, tell: Tell) -> None:
    """What PUT tells, PUT answers and GET shows."""
    told = tell(share=0.5, statuses=[500, 503], retry_after=1, delay=0.01)
    shown = requests.get(f"{upstream}/control", timeout=5)
    assert told.status_code == shown.status_code == 200
    assert (
        told.json()["control"]
        == shown.json()["control"]
        == {"share": 0.5, "statuses": [500, 503], "retry_after": 1, "fault": None, "delay": 0.01}
    )


def test_delete_heals(upstream: str, tell: Tell) -> None:
    """After DELETE every request is answered well."""
    tell(share=1)
    requests.delete(f"{upstream}/control", timeout=5)
    assert requests.get(f"{upstream}/services", timeout=5).status_code == 200


def test_control_counts_the_requests(upstream: str, requests_seen: Callable[[], int]) -> None:
    """Requests to the service count, those to its control do not."""
    before = requests_seen()
    requests.get(f"{upstream}/services", timeout=5)
    assert requests_seen() == before + 1


def test_wrong_control_changes_nothing(upstream: str, tell: Tell) -> None:
    """What is refused with 400 leaves in force what was told before."""
    tell(share=0.5)
    refused = tell(share=2)
    shown = requests.get(f"{upstream}/control", timeout=5).json()
    assert refused.status_code == 400
    assert refused.json() == {"error": "share is 2; it must be a number from 0 to 1."}
    assert shown["control"]["share"] == 0.5


def test_control_takes_no_other_verb(upstream: str) -> None:
    """POST to the control is answered 405."""
    assert requests.post(f"{upstream}/control", timeout=5).status_code == 405


def test_share_fails_as_told(upstream: str, tell: Tell) -> None:
    """Half of the requests get the statuses in turn, and the wait they are asked for."""
    tell(share=0.5, statuses=[500, 503], retry_after=1.5)
    answers = [requests.get(f"{upstream}/services", timeout=5) for _ in range(4)]
    assert [one.status_code for one in answers] == [200, 500, 200, 503]
    assert [one.headers.get("Retry-After") for one in answers] == [None, "1.5", None, "1.5"]


def test_delay_comes_before_the_answer(upstream: str, tell: Tell) -> None:
    """An answer is not given before its delay is over."""
    tell(share=0, delay=0.2)
    started = time.monotonic()
    assert requests.get(f"{upstream}/services", timeout=5).ok
    assert time.monotonic() - started >= 0.2


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("hang", requests.ReadTimeout),
        ("reset", requests.ConnectionError),
        ("truncate", requests.exceptions.ChunkedEncodingError),
        ("garbage", requests.ConnectionError),
        ("drip", requests.ConnectionError),
    ],
)
def test_fault_breaks_the_exchange(
    upstream: str, tell: Tell, fault: str, error: type[Exception]
) -> None:
    """Each fault is a real one on the wire."""
    tell(share=1, fault=fault)
    with pytest.raises(error):
        requests.get(f"{upstream}/services", timeout=0.3)


def test_booked_time_is_no_longer_free(upstream: str, booking: dict[str, str]) -> None:
    """A booking takes its time from what is available."""
    wanted = {"service": booking["service"], "day": booking["day"]}
    before = requests.get(f"{upstream}/availability", params=wanted, timeout=5).json()["free"]
    requests.post(f"{upstream}/appointments", json=booking, timeout=5).raise_for_status()
    after = requests.get(f"{upstream}/availability", params=wanted, timeout=5).json()["free"]
    assert "09:00" in before
    assert [time for time in before if time != "09:00"] == after


def test_key_makes_two_requests_one(upstream: str, booking: dict[str, str]) -> None:
    """The same booking under the same key is answered the same, and booked once."""
    headers = {"Idempotency-Key": f"key-{booking['day']}"}
    url = f"{upstream}/appointments"
    first = requests.post(url, json=booking, headers=headers, timeout=5)
    second = requests.post(url, json=booking, headers=headers, timeout=5)
    assert first.status_code == second.status_code == 201
    assert first.json() == second.json()


def test_key_keeps_a_refusal_too(upstream: str, booking: dict[str, str]) -> None:
    """What was refused under a key stays refused under it."""
    requests.post(f"{upstream}/appointments", json=booking, timeout=5).raise_for_status()
    headers = {"Idempotency-Key": f"refused-{booking['day']}"}
    url = f"{upstream}/appointments"
    answers = [requests.post(url, json=booking, headers=headers, timeout=5) for _ in range(2)]
    assert [one.status_code for one in answers] == [409, 409]


def test_key_of_another_booking_is_refused(upstream: str, booking: dict[str, str]) -> None:
    """A key stands for one booking."""
    headers = {"Idempotency-Key": f"other-{booking['day']}"}
    url = f"{upstream}/appointments"
    requests.post(url, json=booking, headers=headers, timeout=5).raise_for_status()
    other = requests.post(url, json=booking | {"time": "10:00"}, headers=headers, timeout=5)
    assert other.status_code == 422


def test_time_is_booked_once_without_a_key(upstream: str, booking: dict[str, str]) -> None:
    """Without a key the second booking finds its time taken."""
    url = f"{upstream}/appointments"
    answers = [requests.post(url, json=booking, timeout=5).status_code for _ in range(2)]
    assert answers == [201, 409]


def test_move_frees_the_old_time(upstream: str, booking: dict[str, str]) -> None:
    """An appointment that was moved takes its new time and leaves its old one."""
    url = f"{upstream}/appointments"
    number = requests.post(url, json=booking, timeout=5).json()["id"]
    to = {"day": booking["day"], "time": "11:00"}
    moved = requests.patch(f"{url}/{number}", json=to, timeout=5)
    again = requests.post(url, json=booking, timeout=5)
    assert (moved.status_code, moved.json()["time"]) == (200, "11:00")
    assert again.status_code == 201


@pytest.mark.parametrize(
    ("verb", "path", "body", "status"),
    [
        pytest.param("GET", "/nothing", None, 404, id="unknown path"),
        pytest.param("GET", "/appointments/999999", None, 404, id="unknown appointment"),
        pytest.param("GET", "/appointments/x", None, 404, id="no number"),
        pytest.param("GET", "/availability", None, 404, id="no service"),
        pytest.param("GET", "/availability?service=x&day=2030-01-01", None, 404, id="unknown one"),
        pytest.param("GET", "/availability?service=haircut&day=soon", None, 422, id="no day"),
        pytest.param("GET", "/availability?service=haircut&day=20300101", None, 422, id="form"),
        pytest.param("POST", "/appointments", "[", 400, id="no JSON"),
        pytest.param("POST", "/appointments", "[]", 400, id="no object"),
        pytest.param("POST", "/appointments", "{}", 422, id="no fields"),
        pytest.param("PATCH", "/appointments/999999", "{}", 404, id="move unknown"),
    ],
)
def test_refusals(upstream: str, verb: str, path: str, body: str | None, status: int) -> None:
    """What cannot be granted is answered 4xx and a sentence in JSON."""
    answer = requests.request(verb, upstream + path, data=body, timeout=5)
    assert answer.status_code == status
    assert answer.json()["error"].endswith(".")
