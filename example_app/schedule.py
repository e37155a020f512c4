"""What the scheduling service knows: services, free times and appointments, in memory.

It knows nothing of HTTP but the statuses by which it refuses, and holds no lock: its owner does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import Any

SERVICES = {"haircut": "Haircut", "massage": "Massage", "checkup": "Dental check-up"}
TIMES = tuple(f"{hour:02}:00" for hour in range(9, 17))


class RefusedError(Exception):
    """A request that cannot be granted.

    :param status: The HTTP status that says so.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True, slots=True)
class Slot:
    """One hour of a service.

    :raises RefusedError: If there is no such hour.
    """

    service: str
    day: str
    time: str

    def __post_init__(self) -> None:
        if self.service not in SERVICES:
            raise RefusedError(422, f"service must be one of {', '.join(SERVICES)}.")
        check_day(self.day)
        if self.time not in TIMES:
            raise RefusedError(422, f"time must be one of {', '.join(TIMES)}.")


@dataclass(frozen=True, slots=True)
class Appointment:
    """A slot that is taken."""

    number: int
    customer: str
    slot: Slot

    def shown(self) -> dict[str, Any]:
        """Return it as JSON-ready values."""
        return {"id": self.number, "customer": self.customer, **asdict(self.slot)}


class Schedule:
    """All appointments; every day has the same hours."""

    def __init__(self) -> None:
        self._appointments: dict[int, Appointment] = {}

    def free(self, service: str, day: str) -> list[str]:
        """Return the times at which *service* can be booked on *day*.

        :raises RefusedError: 404 for an unknown service, 422 for what is no day.
        """
        if service not in SERVICES:
            raise RefusedError(404, f"There is no service {service!r}.")
        check_day(day)
        taken = self._taken()
        return [time for time in TIMES if Slot(service, day, time) not in taken]

    def find(self, number: int) -> Appointment:
        """Return appointment *number*.

        :raises RefusedError: 404 if there is none.
        """
        if number not in self._appointments:
            raise RefusedError(404, f"There is no appointment {number}.")
        return self._appointments[number]

    def book(self, wanted: Mapping[str, Any]) -> Appointment:
        """Take the slot that *wanted* names for its ``customer``.

        :raises RefusedError: 409 if it is taken, 422 if there is no such slot.
        """
        fields = texts(wanted, "service", "day", "time", "customer")
        customer = fields.pop("customer")
        slot = self._untaken(Slot(**fields))
        return self._keep(Appointment(len(self._appointments) + 1, customer, slot))

    def move(self, number: int, wanted: Mapping[str, Any]) -> Appointment:
        """Move an appointment to the ``day`` and ``time`` that *wanted* names.

        :raises RefusedError: 404 if there is none, else as :meth:`book` does.
        """
        appointment = self.find(number)
        slot = replace(appointment.slot, **texts(wanted, "day", "time"))
        if slot == appointment.slot:
            return appointment
        return self._keep(replace(appointment, slot=self._untaken(slot)))

    def _taken(self) -> set[Slot]:
        return {appointment.slot for appointment in self._appointments.values()}

    def _untaken(self, slot: Slot) -> Slot:
        if slot in self._taken():
            raise RefusedError(409, f"{slot.service} on {slot.day} at {slot.time} is taken.")
        return slot

    def _keep(self, appointment: Appointment) -> Appointment:
        self._appointments[appointment.number] = appointment
        return appointment


def check_day(day: str) -> None:
    """Hold *day* to the form YYYY-MM-DD.

    :raises RefusedError: 422 if it is none.
    """
    try:
        written = date.fromisoformat(day).isoformat()
    except ValueError:
        written = ""
    if written != day:
        raise RefusedError(422, "day must be a day like 2030-05-06.")


def texts(wanted: Mapping[str, Any], *names: str) -> dict[str, str]:
    """Return the fields *names* of *wanted*.

    :raises RefusedError: 422 if one is missing, empty or no text.
    """
    for name in names:
        if not isinstance(wanted.get(name), str) or not wanted[name]:
            raise RefusedError(422, f"{name} must be text.")
    return {name: wanted[name] for name in names}
