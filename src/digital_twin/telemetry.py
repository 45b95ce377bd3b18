"""Every metric and every log field of the twin."""

import logging
import sys

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, start_http_server
from prometheus_client.exposition import CONTENT_TYPE_LATEST

REGISTRY = CollectorRegistry()

HTTP_REQUESTS = Counter(
    "digital_twin_http_requests_total", "Answered HTTP requests", ("method", "route", "status"), registry=REGISTRY
)
HTTP_DURATION = Histogram(
    "digital_twin_http_request_duration_seconds",
    "Time from the first byte of a request to the last of its answer",
    ("method", "route"),
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
    registry=REGISTRY,
)
READINGS = Counter(
    "digital_twin_readings_total",
    "Readings by what became of them: stored, duplicate, corrected, superseded, rejected",
    ("outcome",),
    registry=REGISTRY,
)
MQTT_MESSAGES = Counter(
    "digital_twin_mqtt_messages_total",
    "Messages by what became of them: stored, dead_letter (some of it could not be), unmapped (nobody reads the topic)",
    ("outcome",),
    registry=REGISTRY,
)
MQTT_LAG = Histogram(
    "digital_twin_mqtt_lag_seconds",
    "Time from the arrival of a message to its acknowledgement, when all that it says is committed",
    buckets=(0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 2, 5, 10, 30, 60, 300),
    registry=REGISTRY,
)
MQTT_HELD = Gauge(
    "digital_twin_mqtt_held_messages", "Messages that have come and are not acknowledged yet", registry=REGISTRY
)
MQTT_CONNECTED = Gauge("digital_twin_mqtt_connected", "1 while the broker sends us messages, else 0", registry=REGISTRY)
STATE_ADVANCES = Counter(
    "digital_twin_state_advances_total",
    "Advances of states that were kept: moved on, or calibrated (learned anew from history)",
    ("how",),
    registry=REGISTRY,
)
STATE_DURATION = Histogram(
    "digital_twin_state_advance_duration_seconds",
    "Time of one advance, from looking what is due to its commit",
    ("how",),
    buckets=(0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60),
    registry=REGISTRY,
)
STATE_NIS = Histogram(
    "digital_twin_state_nis",
    "Running normalised innovation squared of each stream at each advance: about 1 where errors are as large as told",
    ("stream",),
    buckets=(0.1, 0.25, 0.5, 0.75, 1, 1.35, 2, 4, 8),
    registry=REGISTRY,
)
LATE_TRUTH = Counter(
    "digital_twin_late_truth_total",
    "Intervals whose whole truth came after an estimate of them, by whether it lay inside or outside of the 95 % band",
    ("stream", "outcome"),
    registry=REGISTRY,
)
STATE_ALERTS = Counter(
    "digital_twin_state_alerts_total",
    "Alerts that a stream's errors are not as large as the twin says; a calibration follows each",
    ("stream",),
    registry=REGISTRY,
)
FORECAST_DURATION = Histogram(
    "digital_twin_forecast_duration_seconds", "Time to make one forecast", ("variable", "model"), registry=REGISTRY
)
FORECAST_RELATIVE_LOSS = Histogram(
    "digital_twin_forecast_relative_loss",
    "Pinball loss of each issued forecast of a day as a share of the seasonal naive's",
    ("variable",),
    buckets=(0.25, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.25, 1.5, 2, 4),
    registry=REGISTRY,
)
FORECAST_LESSONS = Counter(
    "digital_twin_forecast_lessons_total",
    "Lessons of days that have passed, given to trained models of a community without training them anew",
    ("variable",),
    registry=REGISTRY,
)
FORECAST_ALERTS = Counter(
    "digital_twin_forecast_alerts_total",
    "Alerts that a community's forecasts have become worse; a training follows each",
    ("variable",),
    registry=REGISTRY,
)
DISPATCH_DURATION = Histogram(
    "digital_twin_dispatch_duration_seconds", "Time to plan one dispatch", ("status",), registry=REGISTRY
)
MEMBER_DISPATCH_DURATION = Histogram(
    "digital_twin_member_dispatch_duration_seconds",
    "Time to plan every member's storage, from expected courses to the certified plan",
    ("status",),
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
    registry=REGISTRY,
)
TARIFF_DURATION = Histogram(
    "digital_twin_tariff_duration_seconds", "Time to design one tariff", ("status",), registry=REGISTRY
)
RUNS = Counter("digital_twin_runs_total", "Runs that have ended, by how", ("kind", "state"), registry=REGISTRY)
RUN_DURATION = Histogram(
    "digital_twin_run_duration_seconds",
    "Time from the first attempt of a Run to its end",
    ("kind",),
    buckets=(0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600),
    registry=REGISTRY,
)
RATE_LIMITS_IN_PROCESS = Counter(
    "digital_twin_rate_limits_in_process_total",
    "Requests that one process alone counted because Redis did not answer",
    registry=REGISTRY,
)
FEED_FETCHES = Counter(
    "digital_twin_feed_fetches_total",
    "Attempts to bring a feed up to date, by what became of them: stored, empty, refused, unavailable",
    ("feed", "outcome"),
    registry=REGISTRY,
)
FEED_AGE = Gauge(
    "digital_twin_feed_age_seconds",
    "Since when the community that has waited longest for each kind of feed has had nothing new",
    ("feed",),
    registry=REGISTRY,
)
UPKEEP = Counter(
    "digital_twin_upkeep_total",
    "What upkeep did: days closed, added up or removed, runs of journal entries merged, parts of it cut or purged",
    ("step",),
    registry=REGISTRY,
)
UPKEEP_STEP_DURATION = Histogram(
    "digital_twin_upkeep_step_duration_seconds",
    "Time of one transaction of upkeep, the longest that a batch may have to wait for it",
    ("step",),
    buckets=(0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30),
    registry=REGISTRY,
)
LOGINS = Counter("digital_twin_logins_total", "Log-in attempts by outcome", ("outcome",), registry=REGISTRY)
DATABASE_READY = Gauge(
    "digital_twin_database_ready", "1 while the database answers readiness checks, else 0", registry=REGISTRY
)

METRICS_CONTENT_TYPE = CONTENT_TYPE_LATEST


def metrics_text() -> bytes:
    """All metrics in Prometheus' text format."""
    return generate_latest(REGISTRY)


def serve_metrics(port: int, address: str = "0.0.0.0") -> None:  # noqa: S104  scraped from another container
    """Serve all metrics at this port, from a thread, for a process that serves nothing else."""
    start_http_server(port, address, registry=REGISTRY)


def configure_logging(level: str) -> None:
    """JSON lines on standard error, one an event; control characters are escaped by JSON."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def get_logger() -> structlog.stdlib.BoundLogger:
    """A logger whose events carry the fields bound to the request."""
    return structlog.get_logger()
