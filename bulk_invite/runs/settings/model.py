"""Every setting: its name, default, meaning and possible values. Defaults stand nowhere else.

Where a value comes from is decided in `configuration`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
)
from pydantic.fields import FieldInfo

from bulk_invite.delivery.worker_pool import MOST
from bulk_invite.domain.durations import HOUR, format_duration
from bulk_invite.runs.settings import value_formats


class Settings(BaseModel):
    """What a run may be told. Only the program layer sees it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    checkpoint: Annotated[str, AfterValidator(value_formats.file_or_database)] = Field(
        "bulk-invite.db",
        min_length=1,
        description="Checkpoint that makes a run resumable: a SQLite file, or a postgresql:// URL that "
        "several machines can share.",
    )
    checkpoint_schema: str = Field(
        "bulk_invite",
        pattern=r"\A[a-z_][a-z0-9_]{0,62}\z",
        description="Schema of a checkpoint in PostgreSQL. Each account and catalog needs its own.",
    )
    wait_for_lock: bool = Field(
        False,
        description="If another sender holds the checkpoint, wait as a standby and take over when it ends. "
        "Default: exit with code 4.",
    )
    campaign: str = Field(
        "",
        max_length=255,
        pattern=r"\A[^\x00-\x1f\x7f]*\z",
        description="Campaign name, part of every derived client token: a new name invites the same rows a "
        "second time.",
    )
    catalog: Literal["Sandbox", "AWS"] = Field(
        "Sandbox", description="Catalog of every row. AWS is the live catalog and asks for confirmation."
    )
    endpoint_url: Annotated[str, AfterValidator(value_formats.endpoint)] | None = Field(
        None,
        description="Send every AWS call to this URL, such as that of an emulator. Default: Partner Central.",
    )
    region: str = Field(
        "us-east-1", min_length=1, description="AWS region. Partner Central is available only in us-east-1."
    )
    profile: str | None = Field(
        None, description="Profile in the AWS configuration. Default: the standard AWS credential chain."
    )
    rate: Annotated[
        Literal["auto"] | float,
        BeforeValidator(value_formats.rate),
        AfterValidator(value_formats.finite_rate),
    ] = Field(
        "auto",
        description="Calls per second, never exceeded. auto starts at 1 and climbs until the service "
        "throttles.",
    )
    max_rate: value_formats.Rate = Field(15.0, description="Upper limit of --rate auto, in calls per second.")
    burst: Annotated[float, Field(ge=1, allow_inf_nan=False)] | None = Field(
        None, description="Calls that may leave at once. Default: 50 ms worth of the rate, at least 1."
    )
    table: str | None = Field(None, min_length=1, description="Database table or view to read rows from.")
    query: str | None = Field(
        None, min_length=1, description="SELECT statement to read rows from, instead of a table."
    )
    key: str | None = Field(
        None,
        min_length=1,
        description="Unique column that identifies each database row and sets the reading order.",
    )
    request_column: str = Field(
        "request",
        min_length=1,
        description="Column that holds the request of a database row (json, jsonb or text).",
    )
    columns: Annotated[dict[str, str], BeforeValidator(value_formats.mapping)] = Field(
        {},
        description="Members of the request, each with the database column that fills it, such as "
        "{Invitation.Message: text}: a table in the configuration file, JSON elsewhere.",
    )
    constants: Annotated[dict[str, Any], BeforeValidator(value_formats.mapping)] = Field(
        {},
        description="Members of the request that have the same value in every database row. Written like "
        "columns.",
    )
    session_settings: Annotated[dict[str, str], BeforeValidator(value_formats.mapping)] = Field(
        {},
        description="Settings of the database session that reads the rows, such as {TimeZone: "
        "Europe/Berlin}. Written like columns. Needed only to continue where an earlier version "
        "began.",
    )
    token_from: Literal["content", "key"] = Field(
        "content",
        description="What the client token of a database row is derived from. With key, a row that changes "
        "keeps its token; if it has been sent, the change is reported and not sent.",
    )
    write_back: str | None = Field(
        None,
        min_length=1,
        description="Table in the source database that receives the outcome of every row. Create it with "
        "init-db.",
    )
    daily_quota: Annotated[
        Literal["none"] | Annotated[int, Field(ge=1)], BeforeValidator(value_formats.count_or_none)
    ] = Field(
        10_000,
        description="Calls in any 24 hours, across all runs with this checkpoint, never exceeded. When they "
        "are used up, the run parks until the next one is free. none: no known limit.",
    )
    pace: Literal["sprint", "spread"] = Field(
        "sprint",
        description="sprint uses up the daily quota, then waits; spread sends evenly over 24 hours.",
    )
    probe_interval: value_formats.Duration = Field(
        900.0,
        description="Time between probe calls while an unknown limit parks the run.",
    )
    max_in_flight: int = Field(64, ge=1, le=MOST, description="Maximum rows in flight.")
    results: Path | None = Field(
        None,
        description="Directory for created.ndjson, failed.ndjson and rejected.ndjson. Default: not written.",
    )
    max_failures: Annotated[str, BeforeValidator(value_formats.failure_limit)] | None = Field(
        None,
        description="Stop the run (exit code 3) at this many failed rows: 20, or 5% of the finished rows, "
        "once 20 have finished. Default: never.",
    )
    limit: int | None = Field(
        None, ge=1, description="Maximum invitations to send, such as for a first try. Default: no limit."
    )
    retry_failed: bool = Field(False, description="Retry rows that failed in an earlier run.")
    dry_run: bool = Field(
        False,
        description="Read and validate every row and look it up in the checkpoint. Send nothing and write "
        "nothing.",
    )
    yes: bool = Field(False, description="Skip the confirmation before sending to the live catalog.")
    json_output: bool = Field(False, alias="json", description="Print the result as one JSON object.")
    progress: Literal["auto", "on", "off"] = Field(
        "auto", description="Show progress: a bar on a terminal, otherwise a line from time to time."
    )
    progress_interval: value_formats.Duration = Field(
        10.0, description="Time between progress lines when there is no bar."
    )
    log_format: Literal["auto", "console", "json"] = Field(
        "auto", description="Log format. auto is console on a terminal, otherwise json."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Minimum log level. debug logs every created invitation."
    )
    listen: Annotated[str, AfterValidator(value_formats.address)] | None = Field(
        None,
        description="Host and port for the live page, metrics and health probes, such as 8081 (this machine "
        "only), 0.0.0.0:8081 or [::1]:0 (any free port). Default: off.",
    )
    control_token_file: Path | None = Field(
        None,
        description="File (chmod 600) with the token that allows pausing, slowing and draining the run over "
        "HTTP. BULK_INVITE_CONTROL_TOKEN can hold the token instead. Default: not allowed.",
    )
    health_file: Path | None = Field(
        None, description="File that shows probes whether the run is alive and ready. Default: none."
    )
    notify_url: Annotated[str, AfterValidator(value_formats.http_url)] | None = Field(
        None,
        description="Webhook URL: receives a JSON POST when a run finishes, parks or aborts. Default: none.",
    )
    tracing: bool = Field(
        False,
        description="Trace every row with OpenTelemetry and export to OTEL_EXPORTER_OTLP_ENDPOINT. Requires "
        "bulk-invite[tracing].",
    )
    log_file: Path | None = Field(
        None,
        description="Also write the log to this file, as JSON. Older files are kept as FILE.1, FILE.2. "
        "Default: none.",
    )
    log_file_size: Annotated[int, BeforeValidator(value_formats.size), Field(ge=1000)] = Field(
        50_000_000, description="Size at which the log file is rotated, such as 500kB, 50MB or 1GB."
    )
    log_files: int = Field(
        5, ge=2, le=1000, description="Number of log files to keep, including the current one."
    )
    token_lifetime: value_formats.Duration = Field(
        8 * HOUR,
        description="How long the service is trusted to remember a client token. A row that has been in "
        "doubt for longer is looked up before it is sent again.",
    )
    settling_time: value_formats.Duration = Field(
        60.0,
        description="How long the service may take to list a new invitation. Only after that does a row "
        "that is not listed count as not arrived.",
    )
    look_up_first: bool | None = Field(
        None,
        description="Look up every open row before its first call, as if it might have been sent before. "
        "Default: only when the checkpoint is, or may be, older than the last call. "
        "--no-look-up-first: never.",
    )
    call_timeout: value_formats.Duration = Field(
        30.0, description="Timeout of one call, from connecting to the last byte."
    )
    max_attempts: int = Field(
        8,
        ge=1,
        description="Attempts with an unknown outcome before the run leaves a row in doubt. Throttled calls "
        "do not count.",
    )
    service_model: Path | None = Field(
        None,
        description="Service model (service-2.json) to validate and send with. Default: the shipped one.",
    )
    poll_interval: value_formats.Duration = Field(
        5.0,
        description="How often a followed source is polled for new rows. A database is also polled "
        "immediately on NOTIFY (see notify_channel).",
    )
    notify_channel: str = Field(
        "bulk_invite",
        min_length=1,
        max_length=63,
        pattern=r"\A[^\x00]*\z",
        description="NOTIFY channel of a followed database: a notification makes the run poll immediately.",
    )
    retry_interval: value_formats.Duration = Field(
        300.0,
        description="Time until open rows are tried again: rows in doubt and rows whose engagement was full.",
    )

    @property
    def is_watched(self) -> bool:
        """Whether others can see how a run is."""
        return self.listen is not None or self.health_file is not None

    @property
    def tokens_from_keys(self) -> bool:
        return self.token_from == "key"  # noqa: S105 - no password


SERVE_ONLY: Final = ("poll_interval", "notify_channel", "retry_interval")
"""Settings that mean something only to a run that goes on for ever: `send` does not take them."""

SEND_ONLY: Final = ("results", "max_failures", "limit", "retry_failed", "dry_run")
"""Settings that mean something only to a run that has an end; to pass them over would be to send unasked."""

SEND: Final = tuple(name for name in Settings.model_fields if name not in SERVE_ONLY)

SERVE: Final = tuple(name for name in Settings.model_fields if name not in SEND_ONLY)


def flag(name: str) -> str:
    """The command-line option of a setting."""
    return "--" + key(name).replace("_", "-")


def key(name: str) -> str:
    """The TOML key of a setting; the environment variable is the same in capitals, with the prefix."""
    return Settings.model_fields[name].alias or name


def shown_default(field: FieldInfo) -> str | None:
    """A default as the operator would write it; None where the description tells it."""
    default = field.default
    if default is None or default is False or default in ("", {}):
        return None
    if field.annotation is float and any(isinstance(m, PlainSerializer) for m in field.metadata):
        return format_duration(default)
    if field.annotation is int and any(isinstance(m, BeforeValidator) for m in field.metadata):
        return value_formats.size_text(default)
    return f"{default:g}" if isinstance(default, float) else str(default)
