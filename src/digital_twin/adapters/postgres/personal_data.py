"""Where the database holds what belongs to one member, table by table, and what becomes of it when they are erased.

A test keeps this page equal to the schema: a new table is put into one of these groups.
"""

from typing import LiteralString

ERASED_WITH_MEMBER = frozenset({"member", "member_plan", "asset", "series", "sample"})
"""Rows that name the member and go with them by their foreign keys."""

ERASED_WITH_SERIES = frozenset(
    {"reading_open", "reading_open_piece", "reading_closed", "reading_closed_piece", "reading_flag"}
)
"""Rows of the member's series, which a trigger removes."""

ERASED_FOR_ALL = frozenset({"plan_question"})
"""Rows that hold what many members use: all of the community's are removed."""

LINKS = frozenset({"membership", "invite"})
"""Rows that give somebody sight of the member's data: removed, the account itself stays."""

DOCUMENTS: tuple[tuple[LiteralString, LiteralString], ...] = (
    ("result", "document::text"),
    ("run", "request::text || coalesce(problem::text, '')"),
    ("event", "document::text"),
    ("state_known", "document::text"),
    ("dead_letter", "topic || ' ' || encode(payload, 'escape')"),
    ("idempotency", "encode(body, 'escape')"),
)
"""Rows that are removed where this text names the member."""

REWRITTEN = frozenset({"journal", "rollup", "kept_sum", "state_snapshot", "state_checkpoint", "state_day"})
"""What the member's readings went into: taken out of it, or removed and worked out anew. A sum of five homes or more
stays, and so does an estimate from so many."""

UNFINISHED_ONLY = frozenset({"run_input", "run_part"})
"""Filled only while a Run is not done; nobody is erased before it is."""

HOLDS_NONE = frozenset(
    {
        "account", "alembic_version", "api_key", "batch", "community", "dirty_day", "feed", "feed_issue",
        "forecast_care", "ingester", "issued_forecast", "journal_purge", "keeping", "reading_horizon", "session",
        "state_due", "topic_mapping", "trained_model", "trained_model_lesson",
        "procrastinate_events", "procrastinate_jobs", "procrastinate_periodic_defers", "procrastinate_workers",
    }
)  # fmt: skip
"""Nothing of a member: counts, days, settings, people's own log-ins, jobs with ids, what was learned of a community."""
