"""Masking of the service's texts where they repeat data of a row."""

from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import quote

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulk_invite.domain.classify import ODD_ID
from bulk_invite.domain.rows import RowError
from bulk_invite.domain.verdicts import HttpAnswer
from bulk_invite.partner_central.masking import Vocabulary, sanitized, vocabulary_of, without_words
from bulk_invite.validation.service_model import load

PROVIDER_NAMES = vocabulary_of(load())
MESSAGE = "We would like to invite you to Project Nightingale, as agreed in Oslo."


def request(**members: str) -> dict[str, Any]:
    """A request with an account, a company, a country, a name and a message; the last ones by `members`."""
    lead = {
        "Customer": {"CompanyName": "Åcme Widgets AS", "Address": {"CountryCode": "NO"}},
        "Interaction": {"ContactBusinessTitle": "CTO"},
    }
    return {
        "Catalog": "Sandbox",
        "ClientToken": "token-1",
        "EngagementIdentifier": "eng-1",
        "Invitation": {
            "Message": MESSAGE,
            "Receiver": {"Account": {"AwsAccountId": "918273645546", "Alias": "partner-x"}},
            "Payload": {"LeadInvitation": lead},
            **members,
        },
    }


def of_row(answer: HttpAnswer, **members: str) -> HttpAnswer:
    kept = sanitized(answer, orjson.dumps(request(**members)), PROVIDER_NAMES)
    assert isinstance(kept, HttpAnswer)
    return kept


def kept(message: str, **members: str) -> str:
    answer = HttpAnswer(400, "ValidationException", errors=(RowError("$", "INVALID_VALUE", message),))
    return of_row(answer, **members).errors[0].message


@pytest.mark.parametrize(
    ("said", "masked"),
    [
        ("The value is too long.", "The value is too long."),
        ("Account 918273645546 is not connected.", "Account «AwsAccountId» is not connected."),
        ("Account 9182-7364-5546 is not connected.", "Account «AwsAccountId» is not connected."),
        ("'Åcme Widgets AS' is blocked", "'«CompanyName»' is blocked"),
        ("åCME  WIDGETS\tas is blocked", "«CompanyName» is blocked"),
        ("A\u030acme_Widgets.As is blocked", "«CompanyName» is blocked"),
        ("acme? Widgets!", "«CompanyName»? «CompanyName»!"),
        (
            "Country NO is not served, CTO neither",
            "Country «CountryCode» is not served, «ContactBusinessTitle» neither",
        ),
        ("It is NOT so.", "It is NOT so."),
        (f'Value "{MESSAGE}" failed to match', 'Value "«Message»." failed to match'),
        ("Value 'We would like to inv...' failed", "Value '«Message»...' failed"),
        ("about project nightingale!", "about «Message»!"),
        ("Value We%20would%20like%20to%20invite%20you", "Value «Message»"),
        ("company \\u00c5cme Widgets AS", "company «CompanyName»"),
        ("company &#197;cme&nbsp;Widgets&#x20;AS", "company «CompanyName»"),
        ("", ""),
    ],
)
def test_values_in_a_sentence_are_replaced_by_member_names(said: str, masked: str) -> None:
    assert kept(said) == masked


def test_a_value_without_a_letter_is_no_reason_to_drop_anything() -> None:
    assert kept("It is too long.", Message="…!") == "It is too long."


def test_long_sentences_and_lists_are_cut() -> None:
    errors = (RowError("$", "INVALID_VALUE", "Too long. " * 100_000),) * 1000
    answer = of_row(HttpAnswer(400, "ValidationException", errors=errors))
    assert [len(error.message) for error in answer.errors] == [1000] * 50


@pytest.mark.parametrize(
    "said", [MESSAGE[:-1] * 40, "x y z w " * 500, "&amp;%41\\u0041" * 200, "\ufdfa" * 2000]
)
def test_an_answer_full_of_long_sentences_is_masked_fast(said: str) -> None:
    errors = (RowError("$", "INVALID_VALUE", said),) * 50
    began = time.process_time()
    answer = of_row(HttpAnswer(400, "ValidationException", errors=errors), Message=MESSAGE * 300)
    assert time.process_time() - began < 0.4
    assert [bool(error.message) for error in answer.errors] == ["\ufdfa" not in said] * 50


@given(
    value=st.text(min_size=4, max_size=60).filter(lambda text: sum(map(str.isalnum, text)) >= 4),
    around=st.tuples(st.sampled_from(["", "Value '", "x"]), st.sampled_from(["", "' is no good", "y"])),
    written=st.sampled_from([str, str.upper, json.dumps, quote, " ".join]),
)
def test_no_value_survives_however_it_is_repeated(value: str, around: tuple[str, str], written: Any) -> None:
    masked = kept(f"{around[0]}{written(value)}{around[1]}", Message=value)
    assert value not in masked.replace("«Message»", "")
    assert written(value) not in masked.replace("«Message»", "")


@pytest.mark.parametrize(
    ("code", "masked"),
    [
        ("QuantumException", "QuantumException"),
        ("AcmeException", "AcmeException"),
        ("Widgets", "400"),
        ("918273645546", "400"),
        ("Blocked.918273645546", "400"),
        ("InvalidNightingaleAsAgreed", "400"),
        ("NO", "400"),
        ("ValidationException", "ValidationException"),
    ],
)
def test_a_code_that_repeats_a_value_is_replaced_by_the_status(code: str, masked: str) -> None:
    assert of_row(HttpAnswer(400, code)).code == masked


def test_words_of_the_service_are_kept_even_if_a_row_contains_them() -> None:
    entry = RowError("$.Invitation.Payload.LeadInvitation.Customer[0]", "INVALID_VALUE", "")
    answer = HttpAnswer(400, "ConflictException", errors=(entry,))
    assert of_row(answer, Message="Customer INVALID_VALUE ConflictException") == answer


@pytest.mark.parametrize("path", ["$.widgets", "$.Acme[0].AcmeWidgets", "$.918273645546", "$.Invitation.NO"])
def test_a_path_that_repeats_a_value_becomes_the_row(path: str) -> None:
    answer = HttpAnswer(400, "ValidationException", errors=(RowError(path, "Acme-Widgets-9", ""),))
    assert of_row(answer).errors == (RowError("$", "unnamed", ""),)


def test_ids_that_repeat_a_value_are_dropped() -> None:
    said = HttpAnswer(
        200,
        invitation_id="engi-918273645546",
        arn="arn:aws:x::catalog/918273645546",
        request_id="0-918273645546",
    )
    assert of_row(said) == HttpAnswer(200, ODD_ID)
    page = HttpAnswer(403, "403", content_type="text/widgets", length=7)
    assert of_row(page) == HttpAnswer(403, "403", length=7)


def test_ids_that_contain_a_short_value_by_chance_are_kept() -> None:
    said = HttpAnswer(200, invitation_id="engi-no1cto3456789", arn="arn:aws:partnercentral:::no")
    assert of_row(said, Message="engi") == said


def test_texts_about_many_rows_keep_only_known_words() -> None:
    errors = (RowError("$", "X", "x"),)
    said = HttpAnswer(400, "JaneDoe", request_id="Jane", arn="a", errors=errors, retry_after=2.0, reason="Y")
    assert without_words(said, PROVIDER_NAMES) == HttpAnswer(400, "400", retry_after=2.0, reason="Y")
    assert without_words(HttpAnswer(400, "SlowDown"), PROVIDER_NAMES) == HttpAnswer(400, "SlowDown")


def test_the_known_words_are_those_of_the_model() -> None:
    assert {"Message", "AwsAccountId", "CompanyName"} <= PROVIDER_NAMES.sensitive
    assert {"Invitation", "INVALID_ENUM_VALUE"} <= PROVIDER_NAMES.own
    assert isinstance(PROVIDER_NAMES, Vocabulary)
