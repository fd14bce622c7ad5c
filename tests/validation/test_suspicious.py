"""Valid values that are hardly meant get warnings, and a row without any costs no closer look."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from row_checks import MODEL, OPPORTUNITY, PAYLOAD, TODAY, VALIDATOR, accepted, changed, validate

from bulk_invite.domain.rows import Rejection
from bulk_invite.domain.tokens import canonical_json
from bulk_invite.validation import RowValidator, ShapeValidator
from bulk_invite.validation.service_model import REQUEST
from bulk_invite.validation.suspicious import Suspicions

LIVE = RowValidator(MODEL, catalog="AWS", campaign="", today=TODAY)
STRICT = RowValidator(MODEL, catalog="Sandbox", campaign="spring", today=TODAY, strict=True)
SHAPE = ShapeValidator(MODEL, REQUEST).shape
REAL: dict[str, Any] = orjson.loads(
    orjson.dumps({**OPPORTUNITY, "Catalog": "AWS"}).replace(b"example.com", b"outfitters.com")
)
MESSAGE = "Invitation.Message"
ACCOUNT = "Invitation.Receiver.Account.AwsAccountId"
EMAIL = "Invitation.Payload.OpportunityInvitation.SenderContacts.0.Email"
PHONE = "Invitation.Payload.OpportunityInvitation.SenderContacts.0.Phone"
SITE = "Invitation.Payload.OpportunityInvitation.Customer.WebsiteUrl"


def read_as(encoding: str, text: str) -> str:
    """`text` as a program shows it that takes its UTF-8 for another encoding."""
    if encoding == "cp1252":  # its five free bytes pass through, as in browsers
        return "".join(bytes([b]).decode("cp1252", "ignore") or chr(b) for b in text.encode())
    return text.encode().decode(encoding)


@pytest.mark.parametrize(
    ("path", "value", "codes"),
    [
        (ACCOUNT, "11122223333", "lost_leading_zero"),
        (ACCOUNT, "111122223", "lost_leading_zero"),
        (ACCOUNT, "98765432", "unusual_account"),
        (ACCOUNT, "abc", "unusual_account"),
        (ACCOUNT, "11112222333x", "unusual_account"),
        (ACCOUNT, "NULL", "unusual_account placeholder_text"),
        (MESSAGE, " ", "blank_text"),
        (MESSAGE, "\r\n\t\u00a0", "blank_text"),
        (MESSAGE, " Join us", "padded_text"),
        (MESSAGE, "Join us\n", "padded_text"),
        (MESSAGE, "Join us\u3000", "padded_text"),
        (MESSAGE, "Join  us\n\nor not", ""),
        (PHONE, "+15551234567", ""),
        (MESSAGE, "+1-555", ""),
        *(
            (MESSAGE, text, "placeholder_text")
            for text in ("NULL", "null", "n/a", "NaN", "None", "undefined")
        ),
        *((MESSAGE, text, "placeholder_text") for text in ("-", "?", "<NA>", "(blank)", "N/a", "TBD")),
        *((MESSAGE, text, "placeholder_text") for text in ("Dear {{ first_name }}!", "To [object Object]")),
        *((MESSAGE, text, "") for text in ("{name}", "{{}}", "Really?", "n.a. Group")),
        (MESSAGE, "NULL ", "padded_text placeholder_text"),
        *((MESSAGE, text, "") for text in ("Null", "Nan", "NA", "none", "n/a for us", "x-")),
        *(
            (MESSAGE, text, "spreadsheet_formula")
            for text in ("=A2", "=SUM(A1:A9)", "=-B1", "='My sheet'!A1")
        ),
        *((MESSAGE, text, "") for text in ("=", "=> see below", "a=b", "= = =")),
        *((MESSAGE, text, "spreadsheet_error") for text in ("#N/A", "#REF!", "Dear #VALUE!, hello", "#####")),
        *((MESSAGE, text, "spreadsheet_error") for text in ("#NV", "#WERT!", "Dear #VALEUR!", "#¡VALOR!")),
        *((MESSAGE, text, "") for text in ("#1 of all", "##", "C# and F#", "#NAME", "#NVIDIA", "our #NV")),
        ("ClientToken", "#N/A", "spreadsheet_error"),
        ("ClientToken", "abc ", "unusual_client_token"),
    ],
)
def test_a_value_that_is_hardly_meant_is_a_warning(path: str, value: str, codes: str) -> None:
    warnings = accepted(changed(path, value)).warnings
    assert " ".join(each.code for each in warnings) == codes
    where = "$." + path.replace(".0.", "[0].")
    assert {each.path for each in warnings} <= {where}
    assert all(value.strip() not in each.message or value in {" ", "-"} for each in warnings if value.strip())


@pytest.mark.parametrize(
    "text", ["Müller", "don\u2019t \u2013 “really”", "Łódź", "Привет", "日本", "👋", "Ελλάδα", "Álvaro"]
)
@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
def test_garbled_text_is_a_warning(text: str, encoding: str) -> None:
    assert accepted(changed(MESSAGE, f"Hello {text}!")).warnings == ()
    (warning,) = accepted(changed(MESSAGE, f"Hello {read_as(encoding, text)}!")).warnings
    assert (warning.path, warning.code) == ("$.Invitation.Message", "garbled_text")


@pytest.mark.parametrize("text", ["Grüße an MÃ¼ller", "Größe: itâ€™s", "lost \ufffd here", "ï»¿First"])
def test_a_garbled_part_of_a_text_is_a_warning(text: str) -> None:
    (warning,) = accepted(changed(MESSAGE, text)).warnings
    assert warning.code == "garbled_text"


@pytest.mark.parametrize(
    "text",
    ["CAFÉ®", "NESCAFÉ™", "Groß™", "«CAFÉ»", "“MAÇÃ”", "IRMÃ\u2013MÃE", "ÉTÉ à la mer", "50 °C ± 2", "naïve"],
)
def test_letters_that_are_meant_are_no_warning(text: str) -> None:
    assert accepted(changed(MESSAGE, text)).warnings == ()


@pytest.mark.parametrize(
    ("path", "value", "suspicious"),
    [
        *(
            (EMAIL, f"maria@{host}", True)
            for host in ("example.com", "Example.ORG", "a.example.net", "a.test")
        ),
        *((EMAIL, f"maria@{host}", True) for host in ("a.invalid", "localhost", "outfitters", "a.b.example")),
        *((EMAIL, f"test@{host}", True) for host in ("outfitters.com", "a.de")),
        *((EMAIL, each, False) for each in ("tester@a.de", "a@myexample.com", "a@example.co", "a@test.de")),
        *(
            (SITE, each, True)
            for each in ("https://www.example.com", "example.org/a", "acme.test", "http://a.invalid")
        ),
        *((SITE, each, False) for each in ("https://example.co.uk", "latest.com", "test.acme.com")),
        (MESSAGE, "Such as at example.com, or @home", False),
    ],
)
def test_an_address_for_tests_is_a_warning_in_the_live_catalog(
    path: str, value: str, *, suspicious: bool
) -> None:
    warnings = accepted(changed(path, value, REAL), LIVE).warnings
    assert [each.code for each in warnings] == ["test_address"] * suspicious
    assert accepted(changed(path, value)).warnings == ()


def test_strict_makes_every_warning_an_error() -> None:
    project = f"{PAYLOAD.removeprefix('$.')}.Project"
    for path, value in (
        (ACCOUNT, "123"),
        (MESSAGE, " a"),
        (f"{project}.TargetCompletionDate", "2026-04-30"),
        (f"{project}.ExpectedCustomerSpend.0.CurrencyCode", "SEK"),
        ("ClientToken", "two words"),
    ):
        warnings = accepted(changed(path, value)).warnings
        result = validate(changed(path, value), STRICT)
        assert isinstance(result, Rejection)
        assert (len(warnings), result.errors) == (1, warnings)
    strictly, otherwise = (accepted(orjson.dumps(OPPORTUNITY), each) for each in (STRICT, VALIDATOR))
    assert (strictly.body, strictly.warnings) == (otherwise.body, ())


_PIECES = st.sampled_from(
    [
        *' \t\n\r\f\u00a0\u2002\u200b\u3000\ufeff\ufffd=#-@./:"\\',
        *"ÂÃÅâ€\u2122¼Ð\x9fð",
        *("NULL", "null", "N/A", "nan", "None", "undefined", "REF!", "SUM(", "{{a}}", "NV", "?"),
        *("test", "localhost", "example", "com", "invalid", "a", "É", "Müller"),
    ]
)


@given(
    text=st.one_of(st.lists(_PIECES, min_size=1, max_size=6).map("".join), st.text(min_size=1, max_size=8))
)
@example(text="\ud7ff")
def test_every_suspicious_value_has_a_mark(text: str) -> None:
    for variant in (text, read_as("latin-1", text), read_as("cp1252", text)):
        for shown in (variant, f"maria@{variant}", f"{variant}x"):
            request = {"ClientToken": "t", "Invitation": {"Message": shown}}
            for is_live in (False, True):
                suspicions = Suspicions(SHAPE, is_live=is_live)
                if any(suspicions.warnings(request)):
                    assert suspicions.may_have_any(canonical_json(request))


def test_every_garbled_character_has_a_mark() -> None:
    suspicions = Suspicions(SHAPE, is_live=False)
    for code in (*range(0x80, 0xD800, 7), *range(0xE000, 0x20000, 31)):
        for encoding in ("latin-1", "cp1252"):
            request = {"Invitation": {"Message": read_as(encoding, chr(code))}}
            if any(suspicions.warnings(request)):
                assert suspicions.may_have_any(canonical_json(request)), hex(code)


def test_usual_rows_get_no_closer_look() -> None:
    suspicions = Suspicions(SHAPE, is_live=True)
    row = changed(MESSAGE, "Grüße \u2013 we don\u2019t say “no”: 20 % off, a/b, x=y & more.", REAL)
    assert not suspicions.may_have_any(canonical_json(orjson.loads(row)))
