"""Tables of the checkpoint. Every change of them raises `VERSION`: a program reads its own version only."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Float, ForeignKey, Index, Integer, MetaData, Table
from sqlalchemy import Text as AnyText

VERSION: Final = 1

Text: Final = AnyText().with_variant(AnyText(collation="C"), "postgresql")
"""Texts have the same order wherever a checkpoint stands."""

_Number: Final = BigInteger().with_variant(Integer, "sqlite")
"""Counts up by itself as a primary key."""

metadata = MetaData()

about = Table(
    "about",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)
"""`version`, `catalog`, `account`, `key_hash`, and what the tokens of sources with keys are made from."""

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
    Column("line", BigInteger, nullable=False, comment="0 where rows have keys"),
    Column("row_key", Text, nullable=False, server_default="", comment="empty where rows have lines"),
    Column("body_hash", Text, nullable=False),
    Column("engagement", Text, nullable=False),
    Column("payload_type", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("invitation_id", Text, nullable=False, default=""),
    Column("arn", Text, nullable=False, default=""),
    Column("code", Text, nullable=False, default="", comment="of the last answer; empty while none is there"),
    Column("errors", Text, nullable=False, default="[]", comment="JSON: [[path, code], ...]"),
    Column("attempts", Integer, nullable=False, default=0),
    Column("first_sent", Float),
    Column("last_sent", Float),
    Column("doubt_since", Float, comment="earliest attempt whose fate is unknown"),
    Column("changed", BigInteger, nullable=False, server_default="0", comment="see `changes`"),
    # No rowid: the token is the key of every access, and one B-tree less is written.
    sqlite_with_rowid=False,
)

unsent_rows = Table(
    "unsent_rows",
    metadata,
    Column("source", Text, primary_key=True),
    Column("line", BigInteger, primary_key=True),
    Column("row_key", Text, primary_key=True, server_default=""),
    Column("run", Integer, ForeignKey("runs.run"), nullable=False),
    Column("state", Text, nullable=False, comment="rejected or duplicate"),
    Column("client_token", Text, nullable=False, default=""),
    Column("errors", Text, nullable=False, default="[]", comment="JSON: [[path, code], ...]"),
    Column("changed", BigInteger, nullable=False, server_default="0", comment="see `changes`"),
    sqlite_with_rowid=False,
)

watermarks = Table(
    "watermarks",
    metadata,
    Column("source", Text, primary_key=True),
    Column("campaign", Text, primary_key=True),
    Column("row_key", Text, nullable=False, comment="the last one that was read, and every one before it"),
    sqlite_with_rowid=False,
)
"""How far the reading of a source has come that was broken off; none where it was read to its end."""

marks = Table(
    "marks",
    metadata,
    Column("source", Text, primary_key=True),
    Column("campaign", Text, primary_key=True),
    Column("mark", Text, nullable=False, comment="in the words of the source"),
    sqlite_with_rowid=False,
)
"""How far the following of a source has come."""

log = Table(
    "log",
    metadata,
    Column("entry", _Number, primary_key=True),
    Column("client_token", Text, nullable=False),
    Column("event", Text, nullable=False, comment="sent or answered"),
    Column("at", Float, nullable=False, comment="epoch seconds"),
    Column("outcome", Text, nullable=False, default=""),
    Column("request_id", Text, nullable=False, default=""),
)
"""Append-only, one entry per event; also what a rolling window of sends is counted from."""

Index("log_by_time", log.c.at)

findings = Table(
    "findings",
    metadata,
    Column("entry", _Number, primary_key=True),
    Column("client_token", Text, nullable=False),
    Column("at", Float, nullable=False, comment="epoch seconds"),
    Column("evidence", Text, nullable=False, comment="JSON: what was found, and what that was decided by"),
)
"""Append-only: why a row that was looked up is what it is now."""

Index("findings_by_token", findings.c.client_token)

generation = Table(
    "generation",
    metadata,
    Column("checkpoint", Text, nullable=False, comment="what tells it from all others"),
    Column("number", BigInteger, nullable=False, comment="of the last transaction"),
    Column("calls", BigInteger, nullable=False, comment="that were ever let go"),
    Column("at", Float, comment="of the last of them"),
    Column("wrote", BigInteger, comment="the database's own number of the transaction that wrote this row"),
    Column("system", Text, comment="the database cluster that it was written in"),
    Column("timeline", BigInteger, comment="another one after each promotion of a standby"),
    Column("replicated", BigInteger, comment="1 where commits waited for a standby"),
)
"""One row: what a checkpoint ends with."""

gaps = Table(
    "gaps",
    metadata,
    Column("entry", _Number, primary_key=True),
    Column("since", Float, nullable=False, comment="epoch seconds; 0 for at any time"),
    Column("until", Float, comment="none while no run has begun since it was found"),
    Column("calls", BigInteger, comment="that are missing, where it is known"),
    Column("found", BigInteger, nullable=False, comment="of them, by look-ups"),
    Column("why", Text, nullable=False, comment="how it was found"),
)
"""Append-only: when it was found to be older than the last call."""

pacing = Table(
    "pacing",
    metadata,
    Column("at", Float, nullable=False, comment="epoch seconds, as all times here"),
    Column("rate", Float, nullable=False, comment="calls per second"),
    Column("estimate", Float, comment="the quota in calls per second, as measured"),
    Column("learned_quota", BigInteger, comment="calls in 24 hours after which more were refused"),
    Column("daily_quota", BigInteger, comment="as the operator set it"),
    Column("counted", BigInteger, nullable=False, comment="calls in the last 24 hours"),
    Column("parked", Text, nullable=False, comment="why the run waited"),
    Column("next_call", Float, comment="of a run that waited, be it to ask"),
    Column("parked_until", Float, comment="when it would go on by itself"),
    Column("left", Float, comment="seconds until the run was expected to be through"),
)
"""One row, for the account and catalog that the checkpoint belongs to; none while nothing was noted."""
