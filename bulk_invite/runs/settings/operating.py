"""Settings of what a run shows and follows: output, monitoring, sources without an end."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from bulk_invite.runs.settings.option_field import Section, option
from bulk_invite.runs.settings.value_types import (
    ChannelName,
    Duration,
    HostPort,
    HttpUrl,
    Size,
)


class Output(Section, title="Output and logs"):
    """What a run prints and writes."""

    results: Path | None = option(
        None,
        "Directory for created.ndjson, failed.ndjson and rejected.ndjson. Default: not written.",
        metavar="DIR",
        only="send",
        common=True,
    )
    json_output: bool = option(False, "Print the result as one JSON object.", alias="json", common=True)
    exit_zero_on_rejected: bool = option(
        False,
        "Exit with 0 instead of 1 if the command finished although rows are rejected, failed, deferred or in "
        "doubt. All other exit codes, and the result, stay the same.",
        only="send",
    )
    quiet: bool = option(
        False,
        "Show only errors and the result. The log file still gets everything.",
        short="-q",
    )
    verbose: bool = option(
        False,
        "Show every row that is rejected, fails or has a warning. A terminal otherwise shows ten of them and "
        "counts the rest by code.",
        common=True,
        short="-v",
    )
    progress: Literal["auto", "on", "off"] = option(
        "auto", "Show progress: a bar on a terminal, otherwise a line from time to time."
    )
    progress_interval: Duration = option(
        10.0, "Time between progress lines when there is no bar.", metavar="DURATION"
    )
    log_format: Literal["auto", "console", "json"] = option(
        "auto", "Log format. auto is console on a terminal, otherwise json."
    )
    log_level: Literal["debug", "info", "warning", "error"] = option(
        "info", "Minimum log level. debug logs every created invitation."
    )
    log_file: Path | None = option(
        None,
        "Also write the log to this file, as JSON. Older files are kept as FILE.1, FILE.2. Default: none.",
        metavar="FILE",
    )
    log_file_size: Size = option(
        50_000_000, "Size at which the log file is rotated, such as 500kB, 50MB or 1GB.", metavar="SIZE"
    )
    log_files: Annotated[int, Field(ge=2, le=1000)] = option(
        5, "Number of log files to keep, including the current one.", metavar="N"
    )


class Monitoring(Section, title="Monitoring"):
    """What others can see of a run, and change in it."""

    listen: HostPort | None = option(
        None,
        "Host and port of the live page, metrics and health probes. Examples: 8081 (this machine only), "
        "0.0.0.0:8081, [::1]:0 (any free port). Default: off.",
        metavar="HOST:PORT",
    )
    control_token_file: Path | None = option(
        None,
        "File (chmod 600) with the token that allows pausing, slowing and draining the run over HTTP. "
        "BULK_INVITE_CONTROL_TOKEN can hold the token instead. Default: not allowed.",
        metavar="FILE",
    )
    health_file: Path | None = option(
        None, "File that shows probes whether the run is alive and ready. Default: none.", metavar="FILE"
    )
    notify_url: HttpUrl | None = option(
        None,
        "Webhook URL: receives a JSON POST when a run finishes, parks or aborts. Default: none.",
        metavar="URL",
    )
    tracing: bool = option(
        False,
        "Trace every row with OpenTelemetry and export to OTEL_EXPORTER_OTLP_ENDPOINT. Requires "
        "the extra tracing: pip install '.[tracing]' in the checkout.",
    )


class Following(Section, title="Following a source"):
    """Sources without an end, which only `serve` follows."""

    poll_interval: Duration = option(
        5.0,
        "How often a followed source is polled for new rows. A database is also polled immediately on "
        "NOTIFY (see notify_channel).",
        metavar="DURATION",
        only="serve",
    )
    notify_channel: ChannelName = option(
        "bulk_invite",
        "NOTIFY channel of a followed database: a notification makes the run poll immediately.",
        metavar="NAME",
        only="serve",
    )
    retry_interval: Duration = option(
        300.0,
        "Time until open rows are tried again: rows in doubt, and rows whose engagement was full. The latter "
        "wait twice as long after each further refusal, up to four hours.",
        metavar="DURATION",
        only="serve",
    )
