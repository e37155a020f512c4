"""The app through its routes, before the real scheduling service."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests
from flask.testing import FlaskClient

Tell = Callable[..., requests.Response]
Booking = dict[str, str]
PROBLEM = "application/problem+json"


def test_services_are_listed(client: FlaskClient) -> None:
    """The scheduling service's list is passed on as JSON."""
    answer = client.get("/services")
    assert (answer.status_code, answer.mimetype) == (200, "application/json")
    assert {"id": "haircut", "name": "Haircut"} in answer.get_json()["services"]


def test_availability_is_passed_on(client: FlaskClient, day: str) -> None:
    """A day without bookings is free at every hour."""
    answer = client.get("/availability", query_string={"service": "massage", "day": day})
    assert answer.status_code == 200
    assert len(answer.get_json()["free"]) == 8


def test_appointment_is_booked_shown_and_moved(client: FlaskClient, booking: Booking) -> None:
    """The three verbs of an appointment work together."""
    booked = client.post("/appointments", json=booking)
    path = f"/appointments/{booked.get_json()['id']}"
    moved = client.patch(path, json={"day": booking["day"], "time": "12:00"})
    assert (booked.status_code, moved.status_code) == (201, 200)
    assert client.get(path).get_json() == moved.get_json()
    assert moved.get_json()["time"] == "12:00"


@pytest.mark.parametrize(
    ("verb", "path", "sent", "missing"),
    [
        pytest.param("GET", "/availability", {}, "service, day", id="no query"),
        pytest.param("GET", "/availability?service=haircut", {}, "day", id="no day"),
        pytest.param("GET", "/availability?service=&day=x", {}, "service", id="empty service"),
        pytest.param(
            "POST",
            "/appointments",
            {"data": "{", "content_type": "application/json"},
            "service, day, time, customer",
            id="bad JSON",
        ),
        pytest.param(
            "POST", "/appointments", {"data": "{}"}, "service, day, time, customer", id="no type"
        ),
        pytest.param(
            "POST", "/appointments", {"json": [1]}, "service, day, time, customer", id="a list"
        ),
        pytest.param(
            "POST",
            "/appointments",
            {"json": {"service": "haircut", "day": 7, "time": "", "customer": "Ada"}},
            "day, time",
            id="wrong kinds",
        ),
        pytest.param("PATCH", "/appointments/1", {"json": {"time": "9:00"}}, "day", id="move"),
    ],
)
def test_wrong_input_is_answered_400(
    client: FlaskClient,
    requests_seen: Callable[[], int],
    verb: str,
    path: str,
    sent: dict[str, Any],
    missing: str,
) -> None:
    """What is missing is named in JSON, and the scheduling service is not bothered."""
    before = requests_seen()
    answer = client.open(path, method=verb, **sent)
    assert answer.status_code == 400
    assert answer.get_json() == {"error": f"These fields must be given as text: {missing}."}
    assert requests_seen() == before


@pytest.mark.parametrize("key", ["", "two words", "x" * 256])
def test_malformed_key_is_answered_400(client: FlaskClient, booking: Booking, key: str) -> None:
    """An idempotency key that could not be sent on is the client's mistake."""
    answer = client.post("/appointments", json=booking, headers={"Idempotency-Key": key})
    assert answer.status_code == 400
    assert answer.get_json()["error"].startswith("Idempotency-Key must be")


def test_unknown_appointment_is_passed_on(
    client: FlaskClient, requests_seen: Callable[[], int]
) -> None:
    """A 404 is an answer: it is given to the client and never retried."""
    before = requests_seen()
    answer = client.get("/appointments/999999")
    assert answer.status_code == 404
    assert answer.get_json() == {"error": "There is no appointment 999999."}
    assert requests_seen() == before + 1


def test_taken_time_is_passed_on(client: FlaskClient, booking: Booking) -> None:
    """The second of two bookings of one time is told 409."""
    answers = [client.post("/appointments", json=booking).status_code for _ in range(2)]
    assert answers == [201, 409]


def test_invalid_time_is_passed_on(client: FlaskClient, booking: Booking) -> None:
    """What the scheduling service finds invalid is told 422."""
    answer = client.post("/appointments", json=booking | {"time": "25:00"})
    assert answer.status_code == 422


def test_failures_between_are_not_noticed(client: FlaskClient, tell: Tell) -> None:
    """With every fourth answer failing every user is served."""
    tell(share=0.25, statuses=[503, 500, 502])
    assert [client.get("/services").status_code for _ in range(12)] == [200] * 12


def test_large_share_of_failures_opens_the_circuit(
    client: FlaskClient, tell: Tell, requests_seen: Callable[[], int]
) -> None:
    """Never five in a row, yet after ten requests six failures are enough."""
    tell(share=0.6, statuses=[503])
    before = requests_seen()
    while client.get("/services").status_code == 200:
        pass
    assert client.get("/services").status_code == 503
    assert requests_seen() - before == 10
    assert client.get("/circuit").get_json()["transitions"][-1]["reason"] == "failure rate"


def test_page_does_not_fail_for_want_of_notices(client: FlaskClient, tell: Tell) -> None:
    """What is nice to have is shown while it can be had; in an outage its place stays empty."""
    assert client.get("/notices").get_json() == {"notices": ["Closed on 1 May."]}
    tell(share=1, statuses=[503])
    answer = client.get("/notices")
    assert (answer.status_code, answer.get_json()) == (200, {"notices": []})


def test_circuit_is_shown(client: FlaskClient) -> None:
    """What is known of the scheduling service can be read."""
    client.get("/services")
    shown = client.get("/circuit").get_json()
    assert (shown["name"], shown["state"], shown["calls"]) == ("scheduling", "closed", 1)


@pytest.mark.parametrize("fault", ["reset", "truncate", "garbage"])
def test_lost_answer_books_once(
    client: FlaskClient, tell: Tell, booking: Booking, fault: str
) -> None:
    """A booking whose answer got lost is asked for again under the same key, and booked once."""
    tell(share=0.5, fault=fault)
    client.get("/services")  # the even requests fail
    answer = client.post("/appointments", json=booking)
    assert answer.status_code == 201


def test_key_of_the_client_makes_its_requests_one(client: FlaskClient, booking: Booking) -> None:
    """A client that sends its booking again under its own key gets the first answer."""
    headers = {"Idempotency-Key": f"client-{booking['day']}"}
    answers = [client.post("/appointments", json=booking, headers=headers) for _ in range(2)]
    assert [one.status_code for one in answers] == [201, 201]
    assert answers[0].get_json() == answers[1].get_json()


@pytest.mark.parametrize(
    ("status", "requests_sent"),
    [pytest.param(503, 4, id="refused, sent again"), pytest.param(500, 1, id="perhaps acted on")],
)
def test_move_is_repeated_only_when_it_was_not_acted_on(
    client: FlaskClient,
    tell: Tell,
    requests_seen: Callable[[], int],
    status: int,
    requests_sent: int,
) -> None:
    """PATCH carries no key, so only an answer that says "not done" lets it be sent again."""
    tell(share=1, statuses=[status])
    before = requests_seen()
    answer = client.patch("/appointments/1", json={"day": "2030-01-01", "time": "09:00"})
    assert answer.status_code == 502
    assert requests_seen() - before == requests_sent


def test_lasting_failure_is_a_502_problem(
    client: FlaskClient, tell: Tell, requests_seen: Callable[[], int]
) -> None:
    """A failure that four attempts could not mend becomes a problem without inner details."""
    tell(share=1, statuses=[500])
    before = requests_seen()
    answer = client.get("/services")
    assert (answer.status_code, answer.mimetype) == (502, PROBLEM)
    assert answer.get_json()["code"] == "NET-001"
    assert requests_seen() - before == 4


def test_open_circuit_is_a_503_problem_that_costs_nothing(
    client: FlaskClient, tell: Tell, requests_seen: Callable[[], int]
) -> None:
    """After five failures in a row nothing is sent any more, and the client is told to wait."""
    tell(share=1, statuses=[500])
    assert [client.get("/services").status_code for _ in range(2)] == [502, 502]
    before = requests_seen()
    answer = client.get("/services")
    assert (answer.status_code, answer.mimetype) == (503, PROBLEM)
    assert answer.get_json()["code"] == "CIR-001"
    assert int(answer.headers["Retry-After"]) >= 1
    assert requests_seen() == before


def test_answer_meant_for_us_is_not_passed_on(client: FlaskClient, tell: Tell) -> None:
    """A 401 of the scheduling service speaks of this app, so its client is not told it."""
    client.application.testing = False  # which would hand the exception to the test
    tell(share=1, statuses=[401])
    assert client.get("/services").status_code == 500


def test_health_needs_no_scheduling_service(
    client: FlaskClient, tell: Tell, requests_seen: Callable[[], int]
) -> None:
    """The app is healthy while its upstream is not."""
    tell(share=1)
    before = requests_seen()
    assert client.get("/health").get_json() == {"status": "ok"}
    assert requests_seen() == before


def test_health_is_not_limited(client: FlaskClient) -> None:
    """Probes may come as often as they like."""
    assert {client.get("/health").status_code for _ in range(601)} == {200}


def test_customer_books_five_times_an_hour(client: FlaskClient, booking: Booking) -> None:
    """The sixth booking of a customer is answered 429; one that was refused did not count."""
    times = ["09:00", "09:00", "10:00", "11:00", "12:00", "13:00", "14:00"]
    asked = [client.post("/appointments", json=booking | {"time": time}) for time in times]
    assert [answer.status_code for answer in asked] == [201, 409, 201, 201, 201, 201, 429]
    other = booking | {"time": "14:00", "customer": "Grace"}
    assert client.post("/appointments", json=other).status_code == 201


def test_bookings_are_limited(client: FlaskClient) -> None:
    """The 121st booking within a minute is answered 429; reading goes on."""
    statuses = [client.post("/appointments", json={}).status_code for _ in range(121)]
    assert (statuses[:120], statuses[120]) == ([400] * 120, 429)
    assert client.get("/services").status_code == 200
