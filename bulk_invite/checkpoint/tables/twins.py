"""Find the rows that invite the same account to the same engagement, without storing the account.

`invitations.receiver` is a keyed hash of campaign, engagement and account. Its key lies in the `about` table:
who has the checkpoint can test guesses, but no table computed beforehand helps, and two checkpoints cannot be
compared.

Invariant: only a row that counts has the plain hash. A refused row has none, and a skipped one has it behind
a mark. So the first row of a receiver is found at once, however many rows were refused or skipped.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Connection,
    Integer,
    bindparam,
    exists,
    func,
    literal_column,
    or_,
    select,
    update,
)

from bulk_invite.checkpoint.tables import indexes
from bulk_invite.checkpoint.tables.batch_sql import EACH, Members, Prepared, parameters
from bulk_invite.checkpoint.tables.schema import invitations
from bulk_invite.checkpoint.tables.values import SKIPPED
from bulk_invite.domain.rows import Invitation, Position
from bulk_invite.domain.same_receiver import Twin, receiver_of
from bulk_invite.domain.verdicts import State

INDEX: Final = "invitations_by_receiver"
"""The index of `look_up`."""

_HASH_BYTES: Final = 16
"""Bytes kept of a hash, which never collide by chance. As base64: the index has a third fewer pages."""

_NEAREST: Final = 100
"""Rows of a receiver among which the first one is chosen: a source may contain any number of them."""

_other: Final = invitations.alias("other")
_COUNTS: Final = or_(
    # A row of an earlier run may be gone from its source. It counts once this run has read it, or if an
    # invitation of it may exist.
    _other.c.run == bindparam("run", type_=Integer()),
    _other.c.state.in_([State.CREATED.value, State.IN_DOUBT.value]),
    bindparam("open_too", type_=Boolean()),
)


class ReceiverHash:
    """The keyed hash of a row's campaign, engagement and account. key: see `RECEIVER_KEY`."""

    def __init__(self, key: bytes) -> None:
        self._keyed = hmac.new(key, digestmod="sha256")

    def of_each(self, rows: Iterable[Invitation], campaign: str) -> dict[str, str]:
        """Return the hashes by client token, one row for each; rows without an account are missing."""
        hashes = {}
        for row in rows:
            if (receiver := receiver_of(row, campaign)) is not None:
                keyed = self._keyed.copy()
                keyed.update(receiver)
                kept = urlsafe_b64encode(keyed.digest()[:_HASH_BYTES])
                hashes[row.client_token] = kept.rstrip(b"=").decode()
        return hashes


def stored_receiver(receiver: str, state: State) -> str:
    """Return what is stored for a row in a state. receiver: its hash, or ""."""
    if state is State.FAILED or not receiver:
        return ""
    return f"{SKIPPED}{receiver}" if state is State.DUPLICATE else receiver


def first_row(
    receiver: ColumnElement[str], token: ColumnElement[str], *conditions: ColumnElement[bool]
) -> ColumnElement[str]:
    """The token of the first other row of a receiver, in a query of `EACH` or `invitations`."""
    some = (
        select(_other.c.client_token, _other.c.first_sent, _other.c.line, _other.c.row_key)
        .where(
            _other.c.receiver == receiver,
            _other.c.receiver != literal_column("''"),  # otherwise the index is not used
            _other.c.client_token != token,
            *conditions,
        )
        .limit(_NEAREST)
        .correlate(EACH, invitations)
        .subquery("some")
    )
    order = (some.c.first_sent.is_(None), some.c.first_sent, some.c.line, some.c.row_key, some.c.client_token)
    return select(some.c.client_token).order_by(*order).limit(1).scalar_subquery()


def first_row_of_skipped() -> ColumnElement[str]:
    """The token of the row because of which a row of `invitations` is skipped, or NULL."""
    receiver = func.substr(invitations.c.receiver, len(SKIPPED) + 1)
    return first_row(receiver, invitations.c.client_token)


_PAIR: Final = Members("client_token", "receiver")
_EACH_TOKEN: Final = _PAIR.of(invitations.c.client_token)
_PAIRS: Final = (
    select(
        _EACH_TOKEN.label("of_token"),
        first_row(_PAIR.of(invitations.c.receiver), _EACH_TOKEN, _COUNTS).label("first_token"),
    )
    .select_from(EACH)
    .subquery("pairs")
)
_TWINS: Final = select(
    _PAIRS.c.of_token,
    *(invitations.c[name] for name in ("source", "line", "row_key", "state", "last_sent")),
).join(_PAIRS, invitations.c.client_token == _PAIRS.c.first_token)

_EACH_RECEIVER: Final = Members("receiver").of(invitations.c.receiver)
_SHARED: Final = Prepared(
    select(_EACH_RECEIVER).where(
        exists().where(_other.c.receiver == _EACH_RECEIVER, _other.c.receiver != literal_column("''"))
    )
)
"""The receivers of a batch that any row has. Most have none, and this costs a fraction of `_TWINS`."""

_NOTE: Final = (
    update(invitations)
    .where(invitations.c.client_token == _EACH_TOKEN)
    .values(receiver=_PAIR.of(invitations.c.receiver))
)


def look_up(
    connection: Connection, receivers: Mapping[str, str], *, run: int, open_too: bool
) -> dict[str, Twin]:
    """Return the first other row of each receiver that counts, by the token of the row in question.

    receivers: hashes by token. open_too: rows of earlier runs count even if no invitation of them
    is recorded as possible.
    """
    if not receivers:
        return {}
    indexes.require(connection, INDEX)
    distinct = ((receiver,) for receiver in set(receivers.values()))
    shared = {receiver for (receiver,) in _SHARED.run(connection, parameters(distinct))}
    pairs = [pair for pair in receivers.items() if pair[1] in shared]
    if not pairs:
        return {}
    found = connection.execute(_TWINS, parameters(pairs, run=run, open_too=open_too))
    return {
        row.of_token: Twin(Position(row.source, row.line, row.row_key), State(row.state), row.last_sent)
        for row in found
    }


def note(connection: Connection, receivers: Sequence[tuple[str, str]]) -> None:
    """Store what `stored_receiver` returns, for (token, receiver) of rows where it has changed."""
    if receivers:
        connection.execute(_NOTE, parameters(receivers))
