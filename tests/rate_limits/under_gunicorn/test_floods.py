"""Limits in a flood: few lines, no room by being many, and nothing that a killed worker spoils."""

from __future__ import annotations

import socket
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed

import psutil

from tests.rate_limits.under_gunicorn.serving import Pending, limited
from tests.sharing.fleet import wait_until

FLOOD, CONNECTIONS = 10_000, 4
FLOOD_OF_KILLED, KILLS = 400, 10
LOGIN = """
import time
import uuid
from pathlib import Path

from flask import Flask
from flask_resilience import Resilience

app = Flask("shop")
resilience = Resilience(app, rate_limit="")

@app.post("/login")
@resilience.limit("3 per minute", deduct_when=lambda response: response.status_code == 401)
def login():
    Path("inside", uuid.uuid4().hex).touch()
    while not Path("answers").exists():
        time.sleep(0.01)
    return "wrong password", 401
"""


def flood(port, path, count):
    """Ask over one connection that is kept, and return the statuses."""
    statuses = Counter()
    with (
        socket.create_connection(("127.0.0.1", port), timeout=30) as connection,
        connection.makefile("rb") as stream,
    ):
        for _ in range(count):
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
            statuses[int(stream.readline().split()[1])] += 1
            length = 0
            while (field := stream.readline().lower()) != b"\r\n":
                if field.startswith(b"content-length:"):
                    length = int(field.split()[1])
            stream.read(length)
    return statuses


def test_flood_of_one_client_costs_few_lines_that_add_up_to_all_its_rejections(tmp_path):
    """Of 10,000 rejections at most 3 lines tell, and with what they suppressed of each one."""
    apps = {"shop": {"rate_limit": "5 per minute", "log_level": "WARNING"}}
    with limited(tmp_path, apps, "-w", "1", "--threads", "4") as server:
        assert server.statuses_in_a_row("/shop/", 5) == [200] * 5
        share = FLOOD // CONNECTIONS
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            found = pool.map(lambda _: flood(server.server.port, "/shop/", share), range(4))
            rejected = sum(found, Counter())[429]
        assert rejected >= FLOOD - 5
        server.server.end()
        lines = server.told("rate_limit.exceeded")
    assert 1 <= len(lines) <= 3
    assert len(lines) + sum(line.get("suppressed", 0) for line in lines) == rejected


def test_guesses_at_once_come_no_further_than_the_limit_of_those_that_fail(tmp_path):
    """Of 20 logins at once 3 reach the view, though none has failed yet; no later one does."""
    (inside := tmp_path / "inside").mkdir()
    with limited(tmp_path, {}, "-w", "2", "--threads", "4", text=LOGIN) as server:
        pending = [server.send("/login", "POST") for _ in range(20)]
        with ThreadPoolExecutor(len(pending)) as pool:
            answers = [pool.submit(Pending.answer, one) for one in pending]

            def none_is_under_way():
                began = len(list(inside.iterdir()))
                return began > 3 or began + sum(one.done() for one in answers) == len(pending)

            try:
                wait_until(none_is_under_way)
                reached = len(list(inside.iterdir()))
            finally:
                (tmp_path / "answers").touch()
        statuses = Counter(one.result().status for one in answers)
        later = [server.send("/login", "POST").answer().status for _ in range(10)]
    assert reached == 3
    assert statuses == {401: 3, 429: 17}
    assert later == [429] * 10
    assert len(list(inside.iterdir())) == 3


def flood_and_kill(server, path, count, kills):
    """Ask at once, kill a worker now and then while answers come, and return the statuses."""
    gunicorn, killed = psutil.Process(server.server.process.pid), set()
    pending = [server.send(path) for _ in range(count)]
    with ThreadPoolExecutor(count) as pool:
        answers = [pool.submit(Pending.answer, one) for one in pending]
        for number, _ in enumerate(as_completed(answers)):
            if number % (count // kills) == 0:
                living = wait_until(lambda: set(gunicorn.children()) - killed)
                (victim := living.pop()).kill()
                killed.add(victim)
    return Counter(one.result().status for one in answers)


def test_killed_workers_leave_counts_exact_and_nothing_locked(tmp_path):
    """Nobody is let in uncounted, none but those being served get no answer, and counting goes on.

    Whoever was counted when its worker was killed takes room and gets no answer.
    """
    apps = {"shop": {"rate_limit": "300 per minute"}, "other": {"rate_limit": "5 per minute"}}
    with limited(tmp_path, apps, "-w", "4", "--preload") as server:
        server.workers(4)
        found = flood_and_kill(server, "/shop/", FLOOD_OF_KILLED, KILLS)
        assert server.statuses_in_a_row("/shop/", 10) == [429] * 10
        assert Counter(server.statuses_at_once("/other/", 50)) == {200: 5, 429: 45}
        assert "storage.degraded" not in server.server.text()  # a killed worker's line may be torn
    assert found[0] <= KILLS
    assert 300 - found[0] <= found[200] <= 300
    assert sum(found.values()) == FLOOD_OF_KILLED
    assert found.keys() <= {0, 200, 429}
