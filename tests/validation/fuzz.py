"""Mutates valid rows and feeds them to the reader and the validator, for a given time.

    python tests/validation/fuzz.py [--seconds N] [--seed N]

Each round makes a file out of mutated rows, plain or packed, reads it in pieces, and judges every row. It
ends with the counts, or at the first promise that is broken with the seed of its round:

- nothing but SourceError is ever raised, and of a whole file not even that;
- a rejection has reasons, few and printable, without any text of the row;
- what is accepted is sent on as it was read, canonical, and botocore's own validator accepts it too;
- memory does not grow.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import resource
import time
from collections import Counter
from collections.abc import Callable
from datetime import date
from typing import Any, Final

import botocore.loaders
import botocore.model
import botocore.validate
import orjson
import zstandard

from bulk_invite.domain.errors import SourceError
from bulk_invite.domain.rows import METADATA, Invitation, Position, Row
from bulk_invite.sources.compressed import CompressedDataError, unpack
from bulk_invite.sources.lines import MAX_LINE_BYTES, Lines
from bulk_invite.validation import RowValidator, examples
from bulk_invite.validation.json_text import MAX_ERRORS
from bulk_invite.validation.service_model import FOLDER, load

MODEL = load()
EXAMPLES = examples(MODEL)
VALIDATOR = RowValidator(MODEL, catalog="Sandbox", campaign="fuzz", today=date(2026, 5, 1))
PACKERS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".zst": zstandard.compress,
}
GROWTH: Final = 200 * 1024 * 1024
MARK: Final = "zq mark zq"
"""A marker in every row for data that must not be repeated. With its spaces it resembles no member's name."""

SCRAPS: Final = [
    *(
        b"{",
        b"}",
        b"[",
        b"]",
        b'"',
        b":",
        b",",
        b"\\",
        b"\\u",
        b"\\ud800",
        b"\\u0000",
        b"\0",
        b"\x1b[6n",
        b"\x9b",
    ),
    *(
        b"\xef\xbb\xbf",
        b"\xed\xa0\x80",
        b"\xc0\x80",
        b"\xff",
        b"\r",
        b"\n",
        b"\t",
        b" ",
        b"-0",
        b"1e999",
        b"NaN",
    ),
    *(
        b"9" * 400,
        b"[" * 1100,
        b'{"":' * 400,
        b"null",
        b"true",
        b'"":"",',
        b'"Catalog":"AWS",',
        b"\xe2\x80\xae",
    ),
]
VALUES: Final[list[object]] = [
    *(
        None,
        True,
        0,
        -1,
        1.5,
        2**63,
        "",
        " ",
        "\0",
        "\x7f",
        "\u202e",
        "a" * 300,
        "\U0001f44b" * 80,
        [],
        {},
        [[]],
    ),
    *(
        {"": ""},
        "Sandbox",
        "AWS",
        "USD",
        "2026-02-30",
        "2027-01-31",
        "111122223333",
        "a@b",
        "eng-0123456789abcd",
    ),
]


class BrokenPromiseError(Exception):
    """A promise does not hold."""


def _promise(holds: bool, what: str) -> None:  # noqa: FBT001 - reads as a sentence
    if not holds:
        raise BrokenPromiseError(what)


def _containers(value: Any) -> list[Any]:
    """Every object and list at any depth."""
    if not isinstance(value, dict | list):
        return []
    inner = value.values() if isinstance(value, dict) else value
    return [value, *(below for each in inner for below in _containers(each))]


def _mutate_value(chance: random.Random, row: Any) -> None:
    """Change one member or element somewhere."""
    place = chance.choice(_containers(row))
    steps = list(place) if isinstance(place, dict) else list(range(len(place)))
    kind = chance.randrange(5)
    value = chance.choice([*VALUES, chance.choice(_containers(row)) if kind == 4 else MARK])
    if value in _containers(row) or isinstance(value, dict | list):
        value = json.loads(json.dumps(value))
    if not steps:
        return
    step = chance.choice(steps)
    match kind:
        case 0:
            del place[step]
        case 1 if isinstance(place, dict):
            place[chance.choice([MARK, "", "Catalog", METADATA, "\x1b", "Payload"])] = value
        case 2 if isinstance(place, list):
            place += [place[step]] * chance.randrange(4)
        case 3 if isinstance(place[step], str):
            place[step] += chance.choice([MARK, "\0", "\x7f", "é", ":", "\\", "\n", '"'])
        case _:
            place[step] = value


def _mutate_text(chance: random.Random, text: bytes) -> bytes:
    """Change a few bytes somewhere."""
    at, size = chance.randrange(len(text) + 1), chance.choice([0, 0, 1, 2, 30])
    match chance.randrange(4):
        case 0:
            return text[:at] + chance.choice(SCRAPS) + text[at + size :]
        case 1:
            return text[:at] + text[at + size :]
        case 2:
            other = chance.randrange(len(text) + 1)
            return text[:at] + text[other : other + 60] + text[at:]
        case _:
            flipped = bytearray(text or b"\0")
            flipped[at % len(flipped)] ^= 1 << chance.randrange(8)
            return bytes(flipped)


def _line(chance: random.Random) -> bytes:
    row = json.loads(json.dumps(chance.choice(EXAMPLES)))
    row["Invitation"]["Message"] = f"{MARK} {chance.random()}"
    for _ in range(chance.choice([0, 1, 1, 2, 5])):
        _mutate_value(chance, row)
    text = json.dumps(row, ensure_ascii=chance.random() < 0.5, indent=chance.choice([None, None, 1]))
    line = text.replace("\n", chance.choice(["", "\r", " ", "\t"])).encode(errors="surrogatepass")
    for _ in range(chance.choice([0, 0, 1, 2, 8])):
        line = _mutate_text(chance, line)
    if chance.random() < 0.002:
        line = line[:-1] + b" " * chance.choice([MAX_LINE_BYTES - len(line), MAX_LINE_BYTES]) + line[-1:]
    return line


class Fuzzer:
    """Round after round; `counts` says what came of the rows."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        loader = botocore.loaders.Loader(extra_search_paths=[str(FOLDER)], include_default_search_paths=False)
        service = botocore.model.ServiceModel(
            loader.load_service_model("partnercentral-selling", "service-2")
        )
        self._input = service.operation_model("CreateEngagementInvitation").input_shape
        self._validator = botocore.validate.ParamValidator()
        self._began_at = _peak()

    def round(self, seed: int) -> None:
        """One file. BrokenPromiseError says what does not hold; anything else raised is a defect too."""
        chance = random.Random(seed)
        plain = b"".join(_line(chance) + chance.choice([b"\n", b"\r\n", b"\n\n"]) for _ in range(40))
        suffix = chance.choice(list(PACKERS))
        cut = chance.randrange(len(plain))
        packed = PACKERS[suffix](plain[:cut]) + PACKERS[suffix](plain[cut:])
        whole = chance.random() < 0.7
        if not whole:
            packed = (
                _mutate_text(chance, packed)
                if chance.random() < 0.5
                else packed[: chance.randrange(len(packed))]
            )
        for row in self._read(chance, packed, suffix, whole=whole):
            self._judge(row)
        _promise(_peak() < self._began_at + GROWTH, "memory does not grow")

    def _read(self, chance: random.Random, packed: bytes, suffix: str, *, whole: bool) -> list[Row]:
        lines = Lines("x")
        rows: list[Row] = []
        size = chance.choice([1, 7, 1000, 65536])
        pieces = (packed[at : at + size] for at in range(0, len(packed), size))
        try:
            for block in unpack(pieces, suffix if chance.random() < 0.7 else ""):
                rows += lines.feed(block)
            rows += lines.finish()
        except (SourceError, CompressedDataError):
            # A mutated first line may look like another encoding or a packed file.
            _promise(not whole or not rows, "a whole file is read to its end")
            self.counts["files refused"] += 1
        self.counts["files"] += 1
        return rows

    def _judge(self, row: Row) -> None:
        result, checked = VALIDATOR.validate(row), VALIDATOR.check(row)
        if isinstance(result, Invitation):
            self.counts["accepted"] += 1
            _promise(checked == result.warnings, "both ways judge alike")
            self._check_accepted(row, result)
            said = "".join(error.path + error.message for error in result.warnings)
        else:
            self.counts["rejected"] += 1
            self.counts.update(error.code for error in result.errors)
            _promise(checked == result, "both ways judge alike")
            _promise(0 < len(result.errors) <= MAX_ERRORS + 1, "a rejection has reasons, and few")
            said = "".join(error.path + error.code + error.message for error in result.errors)
        _promise(said.isprintable(), "reasons are printable")
        _promise(MARK not in said, "no reason holds a value")

    def _check_accepted(self, row: Row, invitation: Invitation) -> None:
        body = orjson.loads(invitation.body)
        read = json.loads(row.data.decode("utf-8-sig").removeprefix("\ufeff"), object_pairs_hook=_once)
        read.pop(METADATA, None)
        _promise(
            body == {"Catalog": "Sandbox", "ClientToken": invitation.client_token, **read}, "sent on as read"
        )
        again = VALIDATOR.validate(Row(Position("x", 1), invitation.body))
        _promise(isinstance(again, Invitation) and again.body == invitation.body, "canonical when read again")
        report = self._validator.validate(body, self._input)
        _promise(not report.has_errors(), f"botocore accepts it too: {report.generate_report()}")


def _once(members: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(members)
    _promise(len(value) == len(members), "every key is unique in an accepted row")
    return value


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def fuzz(seconds: float, seed: int) -> Counter[str]:
    """Rounds with the seeds `seed`, `seed` + 1 and so on, at least one."""
    fuzzer = Fuzzer()
    ends = time.monotonic() + seconds
    while True:
        try:
            fuzzer.round(seed)
        except Exception as error:
            error.add_note(f"python tests/validation/fuzz.py --seconds 0 --seed {seed} shows it again")
            raise
        seed += 1
        if time.monotonic() >= ends:
            return fuzzer.counts


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    for name, count in fuzz(options.seconds, options.seed).most_common():
        print(f"{count:>12,}  {name}")


if __name__ == "__main__":
    main()
