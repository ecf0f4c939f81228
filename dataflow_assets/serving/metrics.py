"""What the service counts, for Prometheus.

Names of libraries and keys are labels nowhere but in the gauges that a caller who sees everything asks for: whoever may read
the metrics sees them all.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 30)
MEDIA_TYPE = CONTENT_TYPE_PLAIN_0_0_4


class Metrics:
    """The counters of one service."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "dataflow_requests", "Requests answered.", ["route", "method", "status"], registry=self._registry
        )
        self.seconds = Histogram(
            "dataflow_request_seconds", "Time to answer.", ["route"], buckets=BUCKETS, registry=self._registry
        )
        self.cached = Counter(
            "dataflow_answers", "Answers to searches, by where they came from.", ["source"], registry=self._registry
        )
        self.refused = Counter(
            "dataflow_refused", "Requests refused before they reached a route.", ["reason"], registry=self._registry
        )
        self.busy = Gauge("dataflow_busy", "Requests that wait for a thread or have one.", registry=self._registry)
        self.events = Counter(
            "dataflow_events", "Events received, by what they did.", ["what"], registry=self._registry
        )
        self.runs = Gauge("dataflow_runs", "Runs that were asked for here.", ["status"], registry=self._registry)
        self.points = Gauge(
            "dataflow_library_points", "Chunks in a library's published index.", ["library"], registry=self._registry
        )

    def text(self) -> bytes:
        """Give everything as Prometheus reads it."""
        return generate_latest(self._registry)
