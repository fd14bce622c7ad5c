"""Tokens never change: a changed token would invite every row twice."""

from __future__ import annotations

import hashlib
import json
from random import Random
from uuid import UUID, uuid5

from hypothesis import given
from hypothesis import strategies as st

from bulk_invite.domain.tokens import NAMESPACE, body_hash, canonical_json, derive_token

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


def test_tokens_are_those_of_the_first_release() -> None:
    request = {
        "EngagementIdentifier": "eng-0123456789abcd",
        "Catalog": "Sandbox",
        "Invitation": {"Message": "Grüße"},
    }
    written = canonical_json(request)
    assert written == (
        '{"Catalog":"Sandbox","EngagementIdentifier":"eng-0123456789abcd","Invitation":{"Message":"Grüße"}}'.encode()
    )
    assert derive_token("spring-2026", written) == "07ecf12a-2109-5237-952e-dfd85baaa918"
    assert derive_token("", written) == "c195ed02-1d2a-582f-b1b0-110210fe057e"


def test_a_body_is_identified_by_its_sha_256() -> None:
    assert body_hash(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert body_hash(b"{}") == hashlib.sha256(b"{}").hexdigest()


@given(st.text(st.characters(codec="utf-8")), JSON)
def test_a_token_is_the_uuid5_of_campaign_and_request(campaign: str, value: object) -> None:
    written = canonical_json(value)
    token = derive_token(campaign, written)
    assert token == str(uuid5(NAMESPACE, f"{campaign}\0{written.decode()}"))
    assert UUID(token).version == 5


@given(st.dictionaries(st.text(), JSON), st.randoms(use_true_random=False))
def test_the_token_ignores_member_order_and_formatting(value: dict[str, object], random: Random) -> None:
    shuffled = list(value.items())
    random.shuffle(shuffled)
    written = canonical_json(value)
    assert canonical_json(dict(shuffled)) == written
    assert canonical_json(json.loads(json.dumps(value, indent=1))) == written
    assert b"\0" not in written


@given(st.text(), st.text(), JSON, JSON)
def test_another_campaign_or_request_gets_another_token(
    one: str, two: str, first: object, second: object
) -> None:
    a, b = (one, canonical_json(first)), (two, canonical_json(second))
    assert (derive_token(*a) == derive_token(*b)) == (a == b)


def test_a_campaign_with_invalid_unicode_gets_a_token_too() -> None:
    assert UUID(derive_token("caf\udce9", b"{}")).version == 5
