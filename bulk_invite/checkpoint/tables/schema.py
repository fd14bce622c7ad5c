"""Tables of the checkpoint. Every change increments `VERSION` in values.py: a program reads only its own."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Float, ForeignKey, Index, Integer, MetaData, Table
from sqlalchemy import Text as AnyText

Text: Final = AnyText().with_variant(AnyText(collation="C"), "postgresql")
"""Text with the same sort order in every database."""

_Number: Final = BigInteger().with_variant(Integer, "sqlite")
"""An auto-incrementing primary key."""

metadata = MetaData()

about = Table(
    "about",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)
"""`version`, `catalog`, `account`, `key_hash`, `receiver_key`; what tokens of keyed sources derive from."""

runs = Table(
    "runs",
    metadata,
    Column("run", Integer, primary_key=True),
    Column("started", Float, nullable=False),
    Column("last_event", Float, nullable=False),
)

invitations = Table(
    "invitations",
    metadata,
    Column("client_token", Text, primary_key=True),
    Column("run", Integer, ForeignKey("runs.run"), nullable=False, comment="the run that read the row last"),
    Column("campaign", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("line", BigInteger, nullable=False, comment="0 if rows have keys"),
    Column("row_key", Text, nullable=False, server_default="", comment="empty if rows have lines"),
    Column("body_hash", Text, nullable=False),
    Column("engagement", Text, nullable=False),
    Column("receiver", Text, nullable=False, server_default="", comment="keyed hash, see twins.py"),
    Column("label", Text, nullable=False, server_default="", comment="the user's name for the row"),
    Column("payload_type", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("invitation_id", Text, nullable=False, server_default=""),
    Column("arn", Text, nullable=False, server_default=""),
    Column(
        "code", Text, nullable=False, server_default="", comment="of the last answer; empty if there is none"
    ),
    Column("errors", Text, nullable=False, server_default="[]", comment="JSON: [[path, code], ...]"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("first_sent", Float),
    Column("last_sent", Float),
    Column("doubt_since", Float, comment="earliest attempt whose outcome is unknown"),
    Column("changed", BigInteger, nullable=False, server_default="0", comment="see `changes`"),
)
"""Accessed by token. But SQLite keeps the rowid: rows are sent in the order in which they were stored, so the
events of a commit lie on a few pages. Sorted by token, each event would write a page of its own."""

unsent_rows = Table(
    "unsent_rows",
    metadata,
    Column("source", Text, primary_key=True),
    Column("line", BigInteger, primary_key=True),
    Column("row_key", Text, primary_key=True, server_default=""),
    Column("run", Integer, ForeignKey("runs.run"), nullable=False),
    Column("state", Text, nullable=False, comment="rejected or duplicate"),
    Column("campaign", Text, nullable=False, server_default=""),
    Column("client_token", Text, nullable=False, server_default="", comment="the earlier row has it, too"),
    Column("label", Text, nullable=False, server_default="", comment="the user's name for the row"),
    Column("errors", Text, nullable=False, server_default="[]", comment="JSON: [[path, code], ...]"),
    Column("changed", BigInteger, nullable=False, server_default="0", comment="see `changes`"),
    sqlite_with_rowid=False,
)

watermarks = Table(
    "watermarks",
    metadata,
    Column("source", Text, primary_key=True),
    Column("campaign", Text, primary_key=True),
    Column("row_key", Text, nullable=False, comment="the last one read; all before it were read, too"),
    sqlite_with_rowid=False,
)
"""The read position of an interrupted source; none if it was read completely."""

marks = Table(
    "marks",
    metadata,
    Column("source", Text, primary_key=True),
    Column("campaign", Text, primary_key=True),
    Column("mark", Text, nullable=False, comment="in the notation of the source"),
    sqlite_with_rowid=False,
)
"""The position in a followed source."""

prefixes = Table(
    "prefixes",
    metadata,
    Column("source", Text, primary_key=True),
    Column("campaign", Text, primary_key=True),
    Column("size", BigInteger, nullable=False, comment="bytes, decompressed"),
    Column("lines", BigInteger, nullable=False, comment="in these bytes"),
    Column("digest", Text, nullable=False, comment="SHA-256 of these bytes"),
    Column("basis", Text, nullable=False, comment="digest of what decides what a line becomes"),
    Column("first_run", Integer, nullable=False, comment="the run that began to read it"),
    sqlite_with_rowid=False,
)
"""The beginning of a file that was read; see read_prefix.py."""

finished_reads = Table(
    "finished_reads",
    metadata,
    Column("source", Text, primary_key=True),
    Column("campaign", Text, primary_key=True),
    Column("mark", Text, nullable=False, comment="what it was read up to, in the notation of the source"),
    Column("basis", Text, nullable=False, comment="as in `prefixes`"),
    Column("first_run", Integer, nullable=False, comment="the run that read all of it"),
    sqlite_with_rowid=False,
)
"""A database that was read completely; see finished_read.py."""

log = Table(
    "log",
    metadata,
    Column("entry", _Number, primary_key=True),
    Column("client_token", Text, nullable=False),
    Column("event", Text, nullable=False, comment="sent or answered"),
    Column("at", Float, nullable=False, comment="epoch seconds"),
    Column("outcome", Text, nullable=False, server_default=""),
    Column("request_id", Text, nullable=False, server_default=""),
)
"""Append-only, one entry per event; the rolling window of calls is counted from it, too."""

Index("log_by_time", log.c.at)

findings = Table(
    "findings",
    metadata,
    Column("entry", _Number, primary_key=True),
    Column("client_token", Text, nullable=False),
    Column("at", Float, nullable=False, comment="epoch seconds"),
    Column("evidence", Text, nullable=False, comment="JSON: the result and its evidence"),
)
"""Append-only: the reason for the state of a row that was looked up."""

Index("findings_by_token", findings.c.client_token)

generation = Table(
    "generation",
    metadata,
    Column("checkpoint", Text, nullable=False, comment="unique id of the checkpoint"),
    Column("number", BigInteger, nullable=False, comment="of the last transaction"),
    Column("calls", BigInteger, nullable=False, comment="ever allowed"),
    Column("at", Float, comment="of the last call"),
    Column("wrote", BigInteger, comment="the database's own id of the transaction that wrote this row"),
    Column("system", Text, comment="the database cluster in which it was written"),
    Column("timeline", BigInteger, comment="changes with each promotion of a standby"),
    Column("replicated", BigInteger, comment="1 if commits waited for a standby"),
)
"""One row: the last transaction of the checkpoint."""

gaps = Table(
    "gaps",
    metadata,
    Column("entry", _Number, primary_key=True),
    Column("since", Float, nullable=False, comment="epoch seconds; 0 for the beginning"),
    Column("until", Float, comment="null until a run begins after it was found"),
    Column("calls", BigInteger, comment="missing calls, if known"),
    Column("found", BigInteger, nullable=False, comment="of them, by lookups"),
    Column("why", Text, nullable=False, comment="how it was found"),
)
"""Append-only: periods whose calls may be missing."""

pacing = Table(
    "pacing",
    metadata,
    Column("at", Float, nullable=False, comment="epoch seconds, as all times here"),
    Column("rate", Float, nullable=False, comment="calls per second"),
    Column("estimate", Float, comment="the measured quota in calls per second"),
    Column("learned_quota", BigInteger, comment="calls in 24 hours after which more were refused"),
    Column("daily_quota", BigInteger, comment="as set by the operator"),
    Column("counted", BigInteger, nullable=False, comment="calls in the last 24 hours"),
    Column("parked", Text, nullable=False, comment="why the run was parked"),
    Column("next_call", Float, comment="of a parked run, even if only to probe"),
    Column("parked_until", Float, comment="when the run would resume by itself"),
    Column("left", Float, comment="estimated seconds until the run is complete"),
)
"""One row for the account and catalog of the checkpoint; none until a run saves its state."""
