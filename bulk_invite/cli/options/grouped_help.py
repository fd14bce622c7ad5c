"""Help texts with commands and options under headings, as in a manual page."""

from __future__ import annotations

from typing import Any, Final

from typer.core import TyperCommand, TyperGroup

WIDEST: Final = 120
"""Columns of a help text at most, however wide the terminal is."""

_WHOLE: Final = 1000
"""A limit for the short help of a command that none of them reaches: nothing is cut off."""

GROUPS: Final[dict[str, tuple[str, ...]]] = {
    "Target and scope": (
        *("campaign", "catalog", "endpoint_url", "region", "profile", "service_model"),
        *("yes", "dry_run", "limit", "max_failures", "retry_failed"),
    ),
    "Checkpoint": ("checkpoint", "checkpoint_schema", "wait_for_lock"),
    "Database source": (
        *("table", "query", "key", "request_column", "columns", "constants", "session_settings"),
        *("token_from", "write_back", "poll_interval", "notify_channel"),
    ),
    "Pacing": (*("rate", "max_rate", "burst", "daily_quota", "pace", "probe_interval", "max_in_flight"),),
    "Unknown outcomes": (
        *(
            "token_lifetime",
            "settling_time",
            "look_up_first",
            "call_timeout",
            "max_attempts",
            "retry_interval",
        ),
    ),
    "Output and logs": (
        *("results", "json_output", "progress", "progress_interval", "log_format", "log_level"),
        *("log_file", "log_file_size", "log_files"),
    ),
    "Monitoring": (*("listen", "control_token_file", "health_file", "notify_url", "tracing"),),
}
"""Settings by their heading in the help."""

_HEADINGS: Final = {name: heading for heading, names in GROUPS.items() for name in names}


class GroupedCommand(TyperCommand):
    """A command that shows its settings by group, and its own options last."""

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


class GroupedProgram(TyperGroup):
    """A program that shows its commands by group, each with its whole first sentence."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command = self.commands[name]
            heading = getattr(command, "rich_help_panel", None) or "Commands"
            sections.setdefault(heading, []).append((name, command.get_short_help_str(_WHOLE)))
        widest = max(map(len, self.commands))
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl([(name.ljust(widest), text) for name, text in records])
