"""Help with the many options of a run under headings, as a manual page has them."""

from __future__ import annotations

from typing import Any, Final

from typer.core import TyperCommand

GROUPS: Final[dict[str, tuple[str, ...]]] = {
    "Whom, where, by what": (
        *("campaign", "catalog", "endpoint_url", "region", "profile", "service_model"),
        *("yes", "dry_run", "limit", "max_failures", "retry_failed"),
    ),
    "Checkpoint": ("checkpoint", "checkpoint_schema", "wait_for_lock"),
    "Rows of a database": (
        *("table", "query", "key", "request_column", "columns", "constants", "session_settings"),
        *("token_from", "write_back", "poll_interval", "notify_channel"),
    ),
    "Pacing": (*("rate", "max_rate", "burst", "daily_quota", "pace", "probe_interval", "max_in_flight"),),
    "Calls in doubt": (
        *(
            "token_lifetime",
            "settling_time",
            "look_up_first",
            "call_timeout",
            "max_attempts",
            "retry_interval",
        ),
    ),
    "What it tells": (
        *("results", "json_output", "progress", "progress_interval", "log_format", "log_level"),
        *("log_file", "log_file_size", "log_files"),
    ),
    "Watching it": (*("listen", "control_token_file", "health_file", "notify_url", "tracing"),),
}
"""Settings by the heading that they stand under."""

_HEADINGS: Final = {name: heading for heading, names in GROUPS.items() for name in names}


class GroupedCommand(TyperCommand):
    """A command whose settings are told apart; options of its own come last."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], **{heading: [] for heading in GROUPS}}
        sections["Options"] = []
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                is_argument = parameter.param_type_name == "argument"
                heading = "Arguments" if is_argument else _HEADINGS.get(parameter.name or "", "Options")
                sections[heading].append(record)
        for heading, records in sections.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)
