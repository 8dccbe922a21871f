"""Prometheus metrics of one server, in a registry of their own."""

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from irongrid.domain.event import Recorded

_COMMIT_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
_DECIDE_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0)
_REQUEST_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0)


class Metrics:
    """Counters that the state thread and the HTTP gate feed, and gauges set when scraped."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.events = Counter(
            "irongrid_events", "Events appended to the log", ["kind"], registry=self.registry
        )
        self.commit_s = Histogram(
            "irongrid_commit_seconds",
            "Time to make one transaction durable",
            buckets=_COMMIT_S,
            registry=self.registry,
        )
        self.failed_commits = Counter(
            "irongrid_failed_commits",
            "Transactions that were refused or undone",
            registry=self.registry,
        )
        self.decide_s = Histogram(
            "irongrid_decide_seconds",
            "Time of one round of the policy",
            buckets=_DECIDE_S,
            registry=self.registry,
        )
        self.request_s = Histogram(
            "irongrid_http_request_seconds",
            "Time to answer a request, streams and long polls left out",
            buckets=_REQUEST_S,
            registry=self.registry,
        )
        self.requests = Counter(
            "irongrid_http_requests",
            "HTTP requests answered",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.jobs = Gauge("irongrid_jobs", "Jobs by state", ["state"], registry=self.registry)
        self.free_devices = Gauge(
            "irongrid_free_devices", "Devices that no attempt holds", registry=self.registry
        )
        self.queue_depth = Gauge(
            "irongrid_request_queue_depth",
            "Requests that wait for the state thread",
            registry=self.registry,
        )
        self.streams = Gauge(
            "irongrid_open_streams", "Open event and log streams", registry=self.registry
        )

    def committed(self, records: Sequence[Recorded], duration_s: float) -> None:
        """Count one transaction."""
        self.commit_s.observe(duration_s)
        for record in records:
            self.events.labels(record.event.kind).inc()

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self.registry)
