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
from bulk_invite.domain.durations import format_duration
from bulk_invite.runs.settings import value_formats


class Settings(BaseModel):
    """What a run may be told. Only the program layer sees it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    checkpoint: Annotated[str, AfterValidator(value_formats.file_or_database)] = Field(
        "bulk-invite.db",
        min_length=1,
        description="The checkpoint, what makes a run resumable: a file, or postgresql://... to share it.",
    )
    checkpoint_schema: str = Field(
        "bulk_invite",
        pattern=r"\A[a-z_][a-z0-9_]{0,62}\z",
        description="Schema of a shared checkpoint; every account and catalog needs one of its own.",
    )
    wait_for_lock: bool = Field(
        False,
        description="While another sender has the checkpoint stand by, and take over when it ends or dies. "
        "Default: exit 4.",
    )
    campaign: str = Field(
        "",
        max_length=255,
        pattern=r"\A[^\x00-\x1f\x7f]*\z",
        description="Name that goes into derived tokens: another name invites the same rows once more.",
    )
    catalog: Literal["Sandbox", "AWS"] = Field(
        "Sandbox", description="Catalog of every row; AWS is the live one and asks for confirmation."
    )
    endpoint_url: Annotated[str, AfterValidator(value_formats.endpoint)] | None = Field(
        None,
        description="Send every AWS call there, such as to an emulator. Default: Partner Central's own.",
    )
    region: str = Field(
        "us-east-1", min_length=1, description="AWS region; Partner Central has only this one."
    )
    profile: str | None = Field(None, description="Profile of the AWS configuration. Default: the AWS chain.")
    rate: Annotated[
        Literal["auto"] | float,
        BeforeValidator(value_formats.rate),
        AfterValidator(value_formats.finite_rate),
    ] = Field(
        "auto",
        description="Calls per second, never exceeded; auto starts at 1 and climbs until throttled.",
    )
    max_rate: value_formats.Rate = Field(15.0, description="Ceiling of --rate auto, in calls per second.")
    burst: Annotated[float, Field(ge=1, allow_inf_nan=False)] | None = Field(
        None, description="Calls that may leave at once. Default: what 50 ms of the rate come to, at least 1."
    )
    table: str | None = Field(None, min_length=1, description="Table (or view) of a database to read.")
    query: str | None = Field(
        None, min_length=1, description="SELECT to read from a database, in place of a table."
    )
    key: str | None = Field(
        None,
        min_length=1,
        description="Column of a database by which its rows are told apart and read in order; unique.",
    )
    request_column: str = Field(
        "request",
        min_length=1,
        description="Column of a database that holds a row's request (json, jsonb or text).",
    )
    columns: Annotated[dict[str, str], BeforeValidator(value_formats.mapping)] = Field(
        {},
        description="Members of a request by the column of a database that each comes from, such as "
        "{Invitation.Message: text}: a table in the file, else JSON.",
    )
    constants: Annotated[dict[str, Any], BeforeValidator(value_formats.mapping)] = Field(
        {}, description="Members that are the same in every row of a database, likewise."
    )
    session_settings: Annotated[dict[str, str], BeforeValidator(value_formats.mapping)] = Field(
        {},
        description="Settings of the session that a database is read in, such as {TimeZone: Europe/Berlin}, "
        "likewise: only to go on where an earlier version began.",
    )
    token_from: Literal["content", "key"] = Field(
        "content",
        description="What the tokens of a database's rows are derived from: with key they stay when a row is "
        "changed, and a changed row that was sent is reported, not sent again.",
    )
    write_back: str | None = Field(
        None,
        min_length=1,
        description="Table of the database that is read, kept up to date with what became of every row; "
        "init-db makes it.",
    )
    daily_quota: Annotated[
        Literal["none"] | Annotated[int, Field(ge=1)], BeforeValidator(value_formats.count_or_none)
    ] = Field(
        10_000,
        description="Calls in any 24 hours, of all runs with this checkpoint, never exceeded; "
        "when they are used up the run parks until the next one is free. none: no limit is known.",
    )
    pace: Literal["sprint", "spread"] = Field(
        "sprint",
        description="sprint uses the daily quota up, then waits; spread sends evenly over the 24 hours.",
    )
    probe_interval: value_formats.Duration = Field(
        900.0,
        description="While an unknown limit parks the run: time between single calls that ask if it is over.",
    )
    max_in_flight: int = Field(64, ge=1, le=MOST, description="Rows on their way at the same time, at most.")
    results: Path | None = Field(
        None,
        description="Folder for created.ndjson, failed.ndjson and rejected.ndjson. Default: none written.",
    )
    max_failures: Annotated[str, BeforeValidator(value_formats.failure_limit)] | None = Field(
        None,
        description="End the run (exit 3) when so many rows failed in it: 20, or 5% of those that ended, "
        "once 20 have. Default: never.",
    )
    limit: int | None = Field(
        None, ge=1, description="Send at most so many invitations, for a first try. Default: all of them."
    )
    retry_failed: bool = Field(False, description="Send rows again that failed in an earlier run.")
    dry_run: bool = Field(False, description="Read, validate and look up; send nothing and write nothing.")
    yes: bool = Field(False, description="Do not ask before sending to the live catalog.")
    json_output: bool = Field(False, alias="json", description="Print the result as one JSON object.")
    progress: Literal["auto", "on", "off"] = Field(
        "auto", description="Show progress: a bar on a terminal, else a line now and then."
    )
    progress_interval: value_formats.Duration = Field(
        10.0, description="Time between progress lines where there is no bar."
    )
    log_format: Literal["auto", "console", "json"] = Field(
        "auto", description="Format of the log lines; auto is console on a terminal, else JSON."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least level that is logged; debug has a line for every created invitation."
    )
    listen: Annotated[str, AfterValidator(value_formats.address)] | None = Field(
        None,
        description="Host and port of the live page, the metrics and the pages for probes, such as 8081 "
        "(of this machine only), 0.0.0.0:8081 or [::1]:0 (0: any port that is free). Default: none.",
    )
    control_token_file: Path | None = Field(
        None,
        description="File (chmod 600) with the token by which a run may be paused, slowed and drained over "
        "HTTP; the environment can hold it too, in BULK_INVITE_CONTROL_TOKEN. Default: nobody may.",
    )
    health_file: Path | None = Field(
        None, description="File that tells probes whether the run is alive and ready. Default: none."
    )
    notify_url: Annotated[str, AfterValidator(value_formats.http_url)] | None = Field(
        None,
        description="Address that is told by POST, in JSON, when a run is done, parked or broken off. "
        "Default: none.",
    )
    tracing: bool = Field(
        False,
        description="Trace every row with OpenTelemetry, to where OTEL_EXPORTER_OTLP_ENDPOINT says; needs "
        "bulk-invite[tracing].",
    )
    log_file: Path | None = Field(
        None,
        description="File for the log as well, in JSON; old ones are kept as FILE.1, FILE.2. Default: none.",
    )
    log_file_size: Annotated[int, BeforeValidator(value_formats.size), Field(ge=1000)] = Field(
        50_000_000, description="Size from which a new log file is begun, such as 500kB, 50MB or 1GB."
    )
    log_files: int = Field(
        5, ge=2, le=1000, description="Log files that are kept, the one that is written to among them."
    )
    token_lifetime: value_formats.Duration = Field(
        8 * 3600.0,
        description="How long the service is trusted to remember a client token. A row in doubt for longer "
        "is looked up before it is sent again.",
    )
    settling_time: value_formats.Duration = Field(
        60.0,
        description="How long after a call the lists of the service may not show its invitation. A row that "
        "is looked up counts as not arrived only after that.",
    )
    look_up_first: bool | None = Field(
        None,
        description="Look every open row up before its first call, as if it may have been sent before. "
        "Default: where the checkpoint is, or may be, older than the last call. --no-look-up-first: never.",
    )
    call_timeout: value_formats.Duration = Field(
        30.0, description="Deadline of one call, from connecting to the last byte."
    )
    max_attempts: int = Field(
        8,
        ge=1,
        description="Doubtful endings of one row before this run leaves it in doubt. "
        "Throttled calls do not count.",
    )
    service_model: Path | None = Field(
        None, description="Another service-2.json to validate and send by. Default: the shipped one."
    )
    poll_interval: value_formats.Duration = Field(
        5.0,
        description="How often a source that goes on is looked at for new rows. A database can also ring: "
        "see notify_channel.",
    )
    notify_channel: str = Field(
        "bulk_invite",
        min_length=1,
        max_length=63,
        pattern=r"\A[^\x00]*\z",
        description="NOTIFY on it, in a database that is followed, has it looked at at once.",
    )
    retry_interval: value_formats.Duration = Field(
        300.0,
        description="Time after which rows are tried once more that were left open: in doubt, or of an "
        "engagement that was full.",
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
