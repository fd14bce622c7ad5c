"""Settings of what is sent, and how: target, checkpoint, database, pacing, unknown outcomes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from bulk_invite.delivery.worker_pool import MAX_IN_FLIGHT
from bulk_invite.domain.durations import HOUR
from bulk_invite.runs.settings.option_field import Section, option
from bulk_invite.runs.settings.value_types import (
    AwsUrl,
    Burst,
    CallsPerDay,
    CampaignName,
    CheckpointLocation,
    ColumnOrPath,
    Columns,
    Constants,
    Duration,
    FailureLimit,
    Rate,
    RateOrAuto,
    SchemaName,
    Text,
)


class Target(Section, title="Target and scope"):
    """Who is invited, where, and how many."""

    campaign: CampaignName = option(
        "",
        "A new name invites the same rows again. It is part of every derived client token.",
        metavar="NAME",
        common=True,
    )
    catalog: Literal["Sandbox", "AWS"] = option(
        "Sandbox", "Catalog of every row; AWS is the live catalog and asks for confirmation.", common=True
    )
    endpoint_url: AwsUrl | None = option(
        None,
        "Send every AWS call to this URL, such as that of an emulator. Default: Partner Central.",
        metavar="URL",
    )
    region: Text = option(
        "us-east-1",
        "AWS region of the endpoint and its signatures. Partner Central has only us-east-1; any other region "
        "works only with --endpoint-url.",
        metavar="REGION",
    )
    profile: str | None = option(
        None,
        "Profile in the AWS configuration. Default: the standard AWS credential chain.",
        metavar="NAME",
        common=True,
    )
    service_model: Path | None = option(
        None,
        "Service model (service-2.json) to validate and send with. Default: the shipped one.",
        metavar="FILE",
    )
    yes: bool = option(False, "Skip the confirmation for the live catalog.", common=True)
    dry_run: bool = option(
        False,
        "Send nothing and write nothing; validate every row and look it up in the checkpoint.",
        only="send",
        common=True,
    )
    strict: bool = option(
        False,
        "Reject rows with warnings: send none of them. A warning is about a suspicious value, such as "
        "#N/A or a date in the past.",
        common=True,
    )
    limit: PositiveInt | None = option(
        None,
        "Maximum invitations to send. Useful for a first try. Default: no limit.",
        metavar="N",
        only="send",
        common=True,
    )
    max_failures: FailureLimit | None = option(
        None,
        "Stop the run (exit code 3) when this many rows have failed: a number, or a share such as 5% of the "
        "finished rows, which counts once 20 have finished. Default: no limit.",
        metavar="N|N%",
        only="send",
    )
    retry_failed: bool = option(False, "Retry rows that failed in an earlier run.", only="send", common=True)
    on_same_receiver: Literal["warn", "skip", "send"] = option(
        "warn",
        "Whether to send a row with the engagement and account of another row. Of rows of one campaign, the "
        "later one is sent with a warning, skipped as a duplicate, or sent without checking.",
        common=True,
    )


class Checkpoint(Section, title="Checkpoint"):
    """The record of every row, which makes a run resumable."""

    checkpoint: CheckpointLocation = option(
        "bulk-invite.db",
        "Checkpoint that makes a run resumable. A SQLite file, or a postgresql:// URL that several "
        "machines can share.",
        metavar="PATH|URL",
        common=True,
    )
    checkpoint_schema: SchemaName = option(
        "bulk_invite",
        "Schema of a checkpoint in PostgreSQL. Each account and catalog needs its own.",
        metavar="NAME",
    )
    wait_for_lock: bool = option(
        False,
        "If another sender holds the checkpoint, wait as a standby and take over when it ends. Default: "
        "exit with code 4.",
    )


class Identity(Section, title="Keys and labels"):
    """How a row is recognized, by this program and by its user."""

    key: ColumnOrPath | None = option(
        None,
        "What identifies a row. Of a database: a unique column, which also sets the reading order. Of files: "
        "a path such as $.EngagementIdentifier, for --token-from key. Default for files: $._bulk_invite.key.",
        metavar="COLUMN|$.PATH",
    )
    token_from: Literal["content", "key"] = option(
        "content",
        "What the client token of a row is derived from. With key, a row that changes keeps its token; if it "
        "has been sent, the change is reported and not sent.",
    )
    label: ColumnOrPath | None = option(
        None,
        "Column or path of a label by which you find a row again: in log, results, export, report and "
        "write-back. Default: $._bulk_invite.label.",
        metavar="COLUMN|$.PATH",
    )
    label_sensitive: bool = option(
        False,
        "Allow labels with sensitive values of their row, such as names; they then appear in the log and the "
        "checkpoint. Default: such a label is left out, with a warning.",
    )


class Database(Section, title="Database source"):
    """Rows of a database."""

    table: Text | None = option(
        None,
        "Database table or view to read rows from.",
        metavar="NAME",
    )
    query: Text | None = option(
        None, "SELECT statement to read rows from, instead of a table.", metavar="SELECT"
    )
    request_column: Text = option(
        "request", "Column that holds the request of a database row (json, jsonb or text).", metavar="COLUMN"
    )
    columns: Columns = option(
        {},
        "Fields of the request, each with the database column that fills it, as JSON such as "
        '\'{"Invitation.Message": "text"}\'. In the configuration file: a table.',
        metavar="JSON",
    )
    constants: Constants = option(
        {},
        "Fields of the request that have the same value in every database row. Written like columns.",
        metavar="JSON",
    )
    session_settings: Columns = option(
        {},
        "Settings of the database session that reads the rows, such as "
        '\'{"TimeZone": "Europe/Berlin"}\'. Written like columns. Needed only to '
        "continue where an earlier version began.",
        metavar="JSON",
    )
    write_back: Text | None = option(
        None,
        "Table in the source database that receives the outcome of every row. Create it with init-db.",
        metavar="TABLE",
    )


class Pacing(Section, title="Pacing"):
    """How fast calls leave."""

    rate: RateOrAuto = option(
        "auto",
        "Calls per second, never exceeded. auto starts at 1 and climbs until the service throttles.",
        metavar="auto|N",
        common=True,
    )
    max_rate: Rate = option(15.0, "Upper limit of --rate auto, in calls per second.", metavar="N")
    burst: Burst | None = option(
        None, "Calls that may leave at once. Default: 50 ms worth of the rate, at least 1.", metavar="N"
    )
    daily_quota: CallsPerDay = option(
        10_000,
        "Calls in any 24 hours, across all runs with this checkpoint, never exceeded. When they are used "
        "up, the run parks until the next one is free. none: no known limit.",
        metavar="N|none",
    )
    pace: Literal["sprint", "spread"] = option(
        "sprint", "sprint uses up the daily quota, then waits; spread sends evenly over 24 hours."
    )
    probe_interval: Duration = option(
        900.0, "Time between probe calls while an unknown limit parks the run.", metavar="DURATION"
    )
    max_in_flight: Annotated[int, Field(ge=1, le=MAX_IN_FLIGHT)] = option(
        64, "Maximum rows in flight.", metavar="N"
    )


class UnknownOutcomes(Section, title="Unknown outcomes"):
    """Calls whose outcome is unknown, and when they are made again."""

    call_timeout: Duration = option(
        30.0, "Timeout of one call, from connecting to the last byte.", metavar="DURATION"
    )
    max_attempts: PositiveInt = option(
        8,
        "Attempts with an unknown outcome before the run leaves a row in doubt. Throttled calls do not "
        "count.",
        metavar="N",
    )
    token_lifetime: Duration = option(
        8 * HOUR,
        "How long the service is trusted to remember a client token. A row that has been in doubt for "
        "longer is looked up before it is sent again.",
        metavar="DURATION",
    )
    settling_time: Duration = option(
        60.0,
        "How long the service may take to list a new invitation. Only after that does a row that is not "
        "listed count as not arrived.",
        metavar="DURATION",
    )
    look_up_first: bool | None = option(
        None,
        "Look up every open row before its first call, as if it might have been sent before. Default: "
        "only when the checkpoint is, or may be, older than the last call. --no-look-up-first: never.",
    )
