"""Counters of the server, in the format of Prometheus."""

from __future__ import annotations

import os
from collections.abc import Callable

from unrolled.errors import MissingDependencyError

#: upper bounds of the histograms, seconds and jobs
LATENCIES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
#: methods that are labels; all others are counted together
METHODS = ("GET", "POST", "DELETE", "HEAD", "OPTIONS", "PUT", "PATCH")

#: called with each batch: its kind, the number of its jobs, seconds that the first one waited, seconds computed
Observer = Callable[[str, int, float, float], None]


class Metrics:
    """Counters of one process; with several processes `render` sums over them (see `PROMETHEUS_MULTIPROC_DIR`).

    Raises:
        MissingDependencyError: prometheus_client is not installed.
    """

    def __init__(self) -> None:
        try:
            from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
        except ImportError as error:
            raise MissingDependencyError("prometheus_client", "serve", "the server's /metrics") from error
        self._registry = r = CollectorRegistry()

        def histogram(name: str, about: str, labels: tuple[str, ...], buckets: tuple[float, ...]) -> Histogram:
            return Histogram(f"unrolled_{name}", about, labels, buckets=buckets, registry=r)

        batch = ("model", "kind")
        self._requests = Counter("unrolled_requests", "requests answered", ("method", "route", "status"), registry=r)
        self._seconds = histogram("request_seconds", "from a request to the end of its answer", ("route",), LATENCIES)
        self._batches = histogram("batch_size", "jobs computed together", batch, SIZES)
        self._waits = histogram("batch_wait_seconds", "time that a batch's first job waited", batch, LATENCIES)
        self._computing = histogram("batch_seconds", "time that a batch was computed", batch, LATENCIES)
        self._pushes = Counter("unrolled_pushes", "pushes to streams", ("model", "outcome"), registry=r)
        self._push_seconds = histogram("push_seconds", "from a push to its answer", ("model",), LATENCIES)
        self._streams = Gauge("unrolled_streams", "streams that are open", registry=r, multiprocess_mode="livesum")

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(method if method in METHODS else "other", route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def observer(self, model: str) -> Observer:
        """Return a function that counts the batches of a model."""

        def observe(kind: str, jobs: int, waited: float, took: float) -> None:
            self._batches.labels(model, kind).observe(jobs)
            self._waits.labels(model, kind).observe(waited)
            self._computing.labels(model, kind).observe(took)

        return observe

    def push(self, model: str, outcome: str, seconds: float) -> None:
        """Count a push; its outcome is `ok`, `left`, or the status of a problem."""
        self._pushes.labels(model, outcome).inc()
        self._push_seconds.labels(model).observe(seconds)

    def streams(self, count: int) -> None:
        """Set the number of open streams."""
        self._streams.set(count)

    def render(self) -> bytes:
        """Return all counters as text."""
        from prometheus_client import CollectorRegistry, generate_latest
        from prometheus_client.multiprocess import MultiProcessCollector

        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return bytes(generate_latest(self._registry))
        registry = CollectorRegistry()
        MultiProcessCollector(registry)
        return bytes(generate_latest(registry))


def forget_process(pid: int) -> None:
    """Drop the gauges of a process that has ended; its counters stay."""
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(pid)
