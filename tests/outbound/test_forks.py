"""A session that a forked process inherits."""

from __future__ import annotations

import json

from tests.servers import run_python

FORKS = """
import json, os, sys
from flask_resilience import ResilientSession
from flask_resilience.storage.memory import MemoryStorage

session = ResilientSession(storage=MemoryStorage())
url = sys.argv[1]
ports = [session.get(url).headers["X-Peer"]]
reading, writing = os.pipe()
children = []
for _ in range(2):
    child = os.fork()
    if not child:
        calls = [session.get(url) for _ in range(20)]
        assert all(call.status_code == 200 for call in calls)
        seen = {call.headers["X-Peer"] for call in calls}
        os.write(writing, (json.dumps(sorted(seen)) + "\\n").encode())
        os._exit(0)
    children.append(child)
assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
os.close(writing)
with os.fdopen(reading) as told:
    lines = told.read().splitlines()
ports += [session.get(url).headers["X-Peer"]]
session.close()
print(json.dumps([ports, *map(json.loads, lines)]))
"""


def test_children_call_on_connections_of_their_own(peer_upstream):
    """Two children and their parent call on three connections, and the parent's stays open."""
    parent, one, other = json.loads(run_python(FORKS, peer_upstream))
    assert len(set(parent)) == len(one) == len(other) == 1
    assert len({*parent, *one, *other}) == 3
