"""The members of a row for this program: the key from which its token is derived, and its label."""

from __future__ import annotations

from typing import Final, NamedTuple

from bulk_invite.domain.member_path import MemberPath
from bulk_invite.domain.rows import METADATA, Row, RowError
from bulk_invite.domain.texts import escaped, folded

MAX_KEY: Final = 256
MAX_LABEL: Final = 200
"""Characters."""

LABEL_READ: Final = 1000
"""Characters of a label that are examined: more than any sensitive value has."""

_CONTAINED: Final = 4
"""Letters and digits of a sensitive value within a label that are not a coincidence."""

_NO_TEXT: Final = "must be text or a whole number"


def key_of(row: object, path: MemberPath) -> str | RowError:
    """The key of a parsed row; 17 and "17" are the same key."""
    key = path.value_in(row)
    if key is None or key == "":
        why = "required key is missing: with --token-from key, the row's token is derived from it"
        return RowError(str(path), "missing_key", why)
    text = str(key)
    if isinstance(key, bool) or not isinstance(key, str | int):
        why = _NO_TEXT
    elif len(text) > MAX_KEY:
        why = f"must have at most {MAX_KEY} characters"
    elif text != text.strip():
        # Another export may lose the space, and would then invite the partner once more.
        why = "must have no white space around it"
    else:
        return text
    return RowError(str(path), "invalid_key", why)


class Own(NamedTuple):
    """What a row has for this program.

    key: the one from which its token is derived; "" if there is none, or it is derived from the content.
    label: the user's name for the row, or "". errors: of the key. warnings: about the label.
    """

    key: str = ""
    label: str = ""
    errors: tuple[RowError, ...] = ()
    warnings: tuple[RowError, ...] = ()


_NOTHING: Final = Own()


class OwnMembers:
    """Reads what rows have for this program. key: where rows of files have theirs, if they need one."""

    def __init__(self, key: MemberPath | None, labels: Labels) -> None:
        self._key = key
        self._labels = labels
        self._are_metadata = key is None and labels.are_metadata

    def of(self, row: Row, value: object) -> Own:
        """value: the row's parsed JSON; None if that cannot be read."""
        if self._are_metadata and not row.label and isinstance(value, dict) and METADATA not in value:
            return _NOTHING  # the usual case
        label, warnings = self._labels.of(row, value)
        if self._key is None or not isinstance(value, dict) or "ClientToken" in value:
            return Own(label=label, warnings=warnings)
        key = row.position.key or key_of(value, self._key)
        if isinstance(key, RowError):
            return Own(label=label, errors=(key,), warnings=warnings)
        return Own(key, label, (), warnings)


class Labels:
    """Reads the labels of rows.

    path: where rows have them, unless a column has them. sensitive: members whose values a label must not
    repeat; None if it may. known: all members of the service model; others may be sensitive, too.
    """

    def __init__(self, path: MemberPath, sensitive: frozenset[str] | None, known: frozenset[str]) -> None:
        self._path = path
        self._allows_all = sensitive is None
        self._sensitive = sensitive or frozenset()
        self._known = known

    @property
    def are_metadata(self) -> bool:
        """Whether rows without our metadata have no label, unless a column has it."""
        return self._path.steps[0] == METADATA

    def of(self, row: Row, value: object) -> tuple[str, tuple[RowError, ...]]:
        """The label of a row ("" without one), and a warning if it cannot be used.

        value: its parsed JSON; None if that cannot be read.
        """
        found: object = row.label or self._path.value_in(value)
        match found:
            case None | "":
                return "", ()
            case str() | int() if not isinstance(found, bool):
                return self._checked(str(found)[:LABEL_READ], value)
            case _:
                return "", (
                    RowError(
                        str(self._path),
                        "invalid_label",
                        f"{_NO_TEXT}; it is left out, or with --strict the row is rejected",
                    ),
                )

    def _checked(self, label: str, value: object) -> tuple[str, tuple[RowError, ...]]:
        if self._repeats_sensitive_value(label, value):
            why = (
                "must not repeat a sensitive value of its row: it is left out, or with --strict the row is "
                "rejected; --label-sensitive allows it"
            )
            return "", (RowError(str(self._path), "sensitive_label", why),)
        return escaped(label.strip())[:MAX_LABEL], ()

    def _repeats_sensitive_value(self, label: str, value: object) -> bool:
        if self._allows_all:
            return False
        if not isinstance(value, dict):
            return True  # what cannot be read may hold it
        found: list[str] = []
        try:
            self._find_sensitive({**value, METADATA: None}, found, is_sensitive=False)
        except RecursionError:
            return True
        plain = folded(label)
        texts = map(folded, found)
        return any(text in plain and (len(text) >= _CONTAINED or text == plain) for text in texts if text)

    def _find_sensitive(self, value: object, found: list[str], *, is_sensitive: bool) -> None:
        if isinstance(value, dict):
            for name, inner in value.items():
                may_not = is_sensitive or name in self._sensitive or name not in self._known
                self._find_sensitive(inner, found, is_sensitive=may_not)
        elif isinstance(value, list):
            for inner in value:
                self._find_sensitive(inner, found, is_sensitive=is_sensitive)
        elif is_sensitive and value is not None:
            found.append(str(value))
