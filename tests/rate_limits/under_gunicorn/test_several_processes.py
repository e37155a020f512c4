"""Counting in memory under several processes: each tells that it counts alone."""

from __future__ import annotations

from tests.rate_limits.under_gunicorn.serving import limited

APPS = {
    "in-memory": {"rate_limit": "5 per minute", "storage_url": "memory://"},
    "default": {"rate_limit": "5 per minute"},
}


def see_all(server, path, workers):
    """Ask until each worker has answered, some of them often."""
    seen = set()
    while seen != workers:
        seen |= {one.worker for one in server.answers_at_once(path, 20)}


def test_worker_that_counts_alone_beside_others_tells_of_it_once(tmp_path):
    """Counters in memory are each worker's own, which it tells once; by default they are shared."""
    with limited(tmp_path, APPS, "-w", "2") as server:
        workers = server.workers(2)
        for name in APPS:
            see_all(server, f"/{name}/", workers)
        told = [
            (line["service"], line["pid"])
            for line in server.told("config.suspicious")
            if line["check"] == "memory_storage_with_several_processes"
        ]
    assert sorted(told) == [("in-memory", worker) for worker in sorted(workers)]
