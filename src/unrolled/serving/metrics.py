"""What Prometheus is told."""

from __future__ import annotations

import os
from collections.abc import Callable

from unrolled.errors import MissingDependencyError

#: seconds
LATENCIES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Counters of one process; with several, `render` sums over them (see `PROMETHEUS_MULTIPROC_DIR`).

    Raises:
        MissingDependencyError: prometheus_client is not installed.
    """

    def __init__(self) -> None:
        try:
            from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
        except ImportError as error:
            raise MissingDependencyError("prometheus_client", "serve", "the server's /metrics") from error
        self._registry = CollectorRegistry()
        r = self._registry
        self._requests = Counter("unrolled_requests", "requests answered", ("method", "route", "status"), registry=r)
        self._seconds = Histogram(
            "unrolled_request_seconds",
            "time from a request to the end of its answer",
            ("route",),
            buckets=LATENCIES,
            registry=r,
        )
        self._batches = Histogram(
            "unrolled_batch_size", "jobs computed together", ("model", "kind"), buckets=SIZES, registry=r
        )
        self._waits = Histogram(
            "unrolled_batch_wait_seconds",
            "time that a batch's first job waited",
            ("model", "kind"),
            buckets=LATENCIES,
            registry=r,
        )
        self._computing = Histogram(
            "unrolled_batch_seconds", "time that a batch was computed", ("model", "kind"), buckets=LATENCIES, registry=r
        )
        self._pushes = Counter("unrolled_pushes", "pushes to streams", ("model", "outcome"), registry=r)
        self._push_seconds = Histogram(
            "unrolled_push_seconds", "time from a push to its answer", ("model",), buckets=LATENCIES, registry=r
        )
        self._streams = Gauge("unrolled_streams", "streams that are kept", registry=r, multiprocess_mode="livesum")

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request was answered."""
        self._requests.labels(method if method in METHODS else "other", route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def batches(self, model: str) -> Callable[[str, int, float, float], None]:
        """What is told of a model's batches: kind, jobs, seconds waited, seconds taken."""

        def observe(kind: str, jobs: int, waited: float, took: float) -> None:
            self._batches.labels(model, kind).observe(jobs)
            self._waits.labels(model, kind).observe(waited)
            self._computing.labels(model, kind).observe(took)

        return observe

    def push(self, model: str, outcome: str, seconds: float) -> None:
        """A push came to an end: `ok`, or the status of a problem."""
        self._pushes.labels(model, outcome).inc()
        self._push_seconds.labels(model).observe(seconds)

    def streams(self, count: int) -> None:
        """How many streams there are."""
        self._streams.set(count)

    def render(self) -> bytes:
        """All of it in Prometheus' text format."""
        from prometheus_client import CollectorRegistry, generate_latest
        from prometheus_client.multiprocess import MultiProcessCollector

        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return bytes(generate_latest(self._registry))
        registry = CollectorRegistry()
        MultiProcessCollector(registry)
        return bytes(generate_latest(registry))


def forget(pid: int) -> None:
    """A process is gone: what it counted stays, what it held does not."""
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(pid)


METHODS = ("GET", "POST", "DELETE", "HEAD", "OPTIONS", "PUT", "PATCH")
