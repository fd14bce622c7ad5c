"""Remove values of rows from the service's messages. Pure.

Rule: codes and field paths are kept if they are words of the service model or repeat no sensitive value of
the row; otherwise the code becomes the status or `unnamed`, and the path `$`. Messages go only to
`failed.ndjson`, beside their row, with member names in place of repeated values. A message that may still
contain a value after that is dropped.

A value is found in any case, with any accents, spaces and punctuation, and escaped for JSON, HTML or URLs; so
are its parts of twelve letters and digits, and each word of names and other short texts. Values of other rows
cannot be recognized here.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any, Final
from urllib.parse import unquote

import orjson

from bulk_invite.domain.classify import KNOWN_CODES, ODD_ID
from bulk_invite.domain.rows import RowError
from bulk_invite.domain.texts import folded as _folded
from bulk_invite.domain.verdicts import Answer, HttpAnswer, NoAnswer
from bulk_invite.validation.service_model import ServiceModel, sensitive_members

_READ: Final = 2000
_KEPT: Final = 1000
"""Characters of a message that are examined, and that may be kept."""

_MOST_FOLDED: Final = 4 * _READ
"""Maximum length of a folded message; a longer one consists of characters that each fold to eighteen."""

_MOST_ERRORS: Final = 50

_CONTAINED: Final = 4
"""Letters and digits from which a value is also searched within words; shorter ones match whole words."""

_PART: Final = 12
"""Letters and digits in a row that are not a coincidence."""

_IN_IDENTIFIER: Final = 8
"""Letters and digits of a value that are not a coincidence in an Id, an Arn or a request id."""

_FEW_WORDS: Final = 5
"""Up to this many words, a text is a name or similar, and each of its words is sensitive."""

_ESCAPED: Final = re.compile(r"\\(?:u([0-9a-fA-F]{4})|([\"\\/])|[bfnrt])")
_ESCAPES: Final = frozenset("\\&%")
_WORD: Final = re.compile(r"[^\W_]+")
_CODES: Final = ("ErrorCode", "Reason")
"""Names of the enums of codes in the model."""

_INDEX: Final = re.compile(r"\[[0-9]{1,3}\]")


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The service model's words. sensitive: members whose values stay in the row. own: members and codes."""

    sensitive: frozenset[str]
    own: frozenset[str]

    def has(self, code: str) -> bool:
        return code in self.own or code in KNOWN_CODES


def vocabulary_of(model: ServiceModel) -> Vocabulary:
    own: set[str] = set()
    for name, shape in model.shapes.items():
        # Other enums are values of rows.
        own |= {*shape.get("members", {}), *(shape.get("enum", ()) if name.endswith(_CODES) else ())}
    return Vocabulary(sensitive_members(model), frozenset(own))


def without_words(answer: Answer, vocabulary: Vocabulary) -> Answer:
    """Reduce an answer that concerns several rows to words of the service."""
    if isinstance(answer, NoAnswer):
        return answer
    code = answer.code if vocabulary.has(answer.code) else str(answer.status)
    return HttpAnswer(answer.status, code, reason=answer.reason, retry_after=answer.retry_after)


def sanitized(answer: Answer, body: bytes, vocabulary: Vocabulary) -> Answer:
    """Reduce an answer to a request to what may be kept. body: of the request."""
    if isinstance(answer, NoAnswer):
        return answer
    request = orjson.loads(body)
    is_success = not (answer.code or answer.errors or answer.content_type)
    if is_success and not _repeat(answer, request, vocabulary.sensitive):
        return answer
    secrets = _Secrets(request, vocabulary.sensitive)
    is_telling = secrets.stand_in_identifier(answer.invitation_id)
    code = answer.code
    if is_telling:
        code = ODD_ID
    elif not vocabulary.has(code) and secrets.stand_in(code):
        code = str(answer.status)
    return replace(
        answer,
        code=code,
        invitation_id="" if is_telling else answer.invitation_id,
        arn="" if secrets.stand_in_identifier(answer.arn) else answer.arn,
        request_id="" if secrets.stand_in_identifier(answer.request_id) else answer.request_id,
        content_type="" if secrets.stand_in(answer.content_type) else answer.content_type,
        errors=tuple(_kept(error, secrets, vocabulary) for error in answer.errors[:_MOST_ERRORS]),
    )


def _kept(error: RowError, secrets: _Secrets, vocabulary: Vocabulary) -> RowError:
    members = _INDEX.sub("", error.path).split(".")[1:]
    is_own = all(member in vocabulary.own for member in members)
    return RowError(
        error.path if is_own or not secrets.stand_in(error.path) else "$",
        error.code if vocabulary.has(error.code) or not secrets.stand_in(error.code) else "unnamed",
        secrets.masked(error.message[:_READ])[:_KEPT],
    )


class _Secrets:
    """The sensitive values of one row, folded, each with its member."""

    def __init__(self, request: Mapping[str, Any], sensitive: frozenset[str]) -> None:
        found: list[tuple[str, str]] = []
        _sensitive(request, sensitive, "", found)
        self._values = [(member, value, _folded(value)) for member, value in found]
        self._whole = {folded: member for member, _, folded in self._values if len(folded) >= _CONTAINED}

    @cached_property
    def _known_parts(self) -> dict[str, str]:
        """Few answers need them, and one answer may need them for many messages."""
        return {part: member for folded, member in self._whole.items() for _, part in _parts(folded)}

    @cached_property
    def _words(self) -> dict[str, str]:
        words = {folded: member for member, _, folded in self._values if 0 < len(folded) < _CONTAINED}
        for member, value, _ in self._values:
            if len(own := value.split()) <= _FEW_WORDS:
                words |= {word: member for word in map(_folded, own) if len(word) >= _CONTAINED}
        return words

    def stand_in(self, text: str) -> bool:
        return bool(text) and any(map(self._stand_in, {text, _unescaped(text)}))

    def _stand_in(self, text: str) -> bool:
        folded = _folded(text)
        return (
            any(value in folded for value in self._whole)
            or any(_folded(word) in self._words for word in _WORD.findall(text))
            or any(part in self._known_parts for _, part in _parts(folded))
        )

    def stand_in_identifier(self, text: str) -> bool:
        folded = _folded(text)
        return any(len(value) >= _IN_IDENTIFIER and value in folded for value in self._whole)

    def masked(self, text: str) -> str:
        """Replace values by their member names; "" if that does not suffice."""
        if len(_folded(text)) > _MOST_FOLDED:
            return ""
        for written in dict.fromkeys((_unescaped(text), text)):
            if self._stand_in(written):
                text = self._masked(unicodedata.normalize("NFKC", written))
                return "" if self.stand_in(text) else text
        return text

    def _masked(self, text: str) -> str:
        shown, reached = [], 0
        for start, end, member in sorted(self._spans(text)):
            if start >= reached:
                shown += [text[reached:start], f"«{member}»"]
            reached = max(reached, end)
        return "".join([*shown, text[reached:]])

    def _spans(self, text: str) -> Iterator[tuple[int, int, str]]:
        """Where values occur: from, to, and the member."""
        stream, places = _stream(text)
        for value, member in self._whole.items():
            for found in re.finditer(re.escape(value), stream):
                yield places[found.start()], places[found.end() - 1] + 1, member
        for start, part in _parts(stream):
            if member := self._known_parts.get(part, ""):
                yield places[start], places[start + _PART - 1] + 1, member
        for found in _WORD.finditer(text):
            if (word := self._words.get(_folded(found[0]))) is not None:
                yield found.start(), found.end(), word


def _repeat(answer: HttpAnswer, request: Mapping[str, Any], sensitive: frozenset[str]) -> bool:
    """Whether an identifier of the answer may repeat a sensitive value. Runs for every row."""
    found: list[tuple[str, str]] = []
    _sensitive(request, sensitive, "", found)
    identifiers = _folded(f"{answer.invitation_id}{answer.arn}{answer.request_id}")
    for _, value in found:
        # Folding makes no ASCII text longer.
        if len(value) >= _IN_IDENTIFIER or not value.isascii():
            folded = _folded(value)
            if len(folded) >= _IN_IDENTIFIER and folded in identifiers:
                return True
    return False


def _sensitive(value: Any, sensitive: frozenset[str], under: str, found: list[tuple[str, str]]) -> None:
    """Find the texts under sensitive members, with the innermost member. Runs for every row.

    value: of JSON, an object or a list.
    """
    # Items of a list are in no further member.
    named = value.items() if isinstance(value, dict) else (("", item) for item in value)
    for name, inner in named:
        member = name if name in sensitive else under
        if isinstance(inner, str):
            if member:
                found.append((member, inner))
        elif isinstance(inner, dict | list):
            _sensitive(inner, sensitive, member, found)


_folded_alone: Final = lru_cache(maxsize=4096)(_folded)
"""For single characters."""


def _parts(folded: str) -> Iterator[tuple[int, str]]:
    for start in range(len(folded) - _PART + 1):
        yield start, folded[start : start + _PART]


def _stream(text: str) -> tuple[str, list[int]]:
    """The folded text, and the original position of each of its characters."""
    folded = [(_folded_alone(character), at) for at, character in enumerate(text)]
    return "".join(part for part, _ in folded), [at for part, at in folded for _ in part]


def _unescaped(text: str) -> str:
    """Undo escaping of JSON, HTML and URLs."""
    if not _ESCAPES & set(text):
        return text
    plain = _ESCAPED.sub(lambda found: chr(int(found[1], 16)) if found[1] else found[2] or " ", text)
    whole = plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return html.unescape(unquote(whole))
