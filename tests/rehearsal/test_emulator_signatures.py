"""Signatures: aioboto3 signs, the emulator checks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from emulator_client import aws_client, create_request, post, refused

from bulk_invite.domain.errors import UsageError
from bulk_invite.domain.tokens import canonical_json
from bulk_invite.rehearsal.emulator.credentials import Credential
from bulk_invite.rehearsal.emulator.options import Options
from bulk_invite.rehearsal.emulator.server import serve

pytestmark = pytest.mark.anyio

KEYS = (Credential("GOOD", "right/secret+1"), Credential("OLD", "old", "222233334444"))


async def _answers(options: Options, key: str, secret: str, skew: float = 0.0) -> Iterator[tuple[str, int]]:
    """Code and status of a Create and of a GetCallerIdentity, to a service whose clock is off by `skew`."""
    found = []
    async with serve(options, clock=lambda: time.time() + skew) as server:
        async with aws_client(server.url, key=key, secret=secret) as client:
            found.append(await refused(client.create_engagement_invitation(**create_request())))
        async with aws_client(server.url, "sts", key=key, secret=secret) as sts:
            found.append(await refused(sts.get_caller_identity()))
        assert server.audit()["invitations"] == 0
    return ((each["Error"]["Code"], each["ResponseMetadata"]["HTTPStatusCode"]) for each in found)


async def test_the_right_key_is_accepted_as_its_account() -> None:
    async with serve(Options(credentials=(*KEYS, Credential("MINE", "s", "555566667777")))) as server:
        async with aws_client(server.url, key="GOOD", secret="right/secret+1") as client:
            answer = await client.create_engagement_invitation(**create_request(1))
        async with aws_client(server.url, key="MINE", secret="s") as client:
            await client.create_engagement_invitation(**create_request(1))
        assert ":111122223333:" in answer["Arn"]
        assert server.state.of_account("Sandbox", "555566667777") == [1]


@pytest.mark.parametrize(
    ("key", "secret", "expected"),
    [
        ("GOOD", "wrong", ["InvalidSignatureException", "SignatureDoesNotMatch"]),
        ("NOBODY", "right/secret+1", ["UnrecognizedClientException", "InvalidClientTokenId"]),
        ("OLD", "old", ["ExpiredTokenException", "ExpiredToken"]),
    ],
)
async def test_a_wrong_credential_is_refused_with_403(key: str, secret: str, expected: list[str]) -> None:
    options = Options(credentials=KEYS, expired_credentials=("OLD",))
    assert list(await _answers(options, key, secret)) == [(code, 403) for code in expected]


@pytest.mark.parametrize("skew", [330.0, -330.0])
async def test_a_clock_more_than_five_minutes_off_is_refused(skew: float) -> None:
    answers = await _answers(Options(credentials=KEYS), "GOOD", "right/secret+1", skew)
    assert list(answers) == [("InvalidSignatureException", 403), ("SignatureDoesNotMatch", 403)]


@pytest.mark.parametrize("skew", [270.0, -270.0])
async def test_a_clock_less_than_five_minutes_off_is_accepted(skew: float) -> None:
    async with (
        serve(Options(credentials=KEYS), clock=lambda: time.time() + skew) as server,
        aws_client(server.url, key="GOOD", secret="right/secret+1") as client,
    ):
        await client.create_engagement_invitation(**create_request())


async def test_the_clock_of_the_emulator_can_run_ahead_by_an_option() -> None:
    answers = await _answers(Options(credentials=KEYS, clock_ahead=360.0), "GOOD", "right/secret+1")
    assert list(answers) == [("InvalidSignatureException", 403), ("SignatureDoesNotMatch", 403)]


def _signed(url: str, body: bytes, *, token: str | None = None, region: str = "us-east-1") -> dict[str, str]:
    request = AWSRequest("POST", url + "/", {"X-Amz-Target": TARGET, "Content-Type": JSON}, body)
    credentials = Credentials("GOOD", "right/secret+1", token)
    SigV4Auth(credentials, "partnercentral-selling", region).add_auth(request)
    return dict(request.headers.items())


TARGET = "AWSPartnerCentralSelling.CreateEngagementInvitation"
JSON = "application/x-amz-json-1.0"
BODY = canonical_json(create_request())


async def _post(url: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
    status, _, answer = await asyncio.to_thread(post, url, body, headers=headers)
    return status, answer


async def test_a_session_token_is_covered_by_the_signature() -> None:
    async with serve(Options(credentials=KEYS)) as server:
        headers = _signed(server.url, BODY, token="session")
        assert headers["X-Amz-Security-Token"] == "session"
        changed = {**headers, "X-Amz-Security-Token": "another"}
        assert (await _post(server.url, BODY, changed))[0] == 403
        assert (await _post(server.url, BODY, headers))[0] == 200


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"Authorization": None}, b"MissingAuthenticationToken"),
        ({"Authorization": "AWS4-HMAC-SHA256 Credential=GOOD"}, b"IncompleteSignature"),
        ({"X-Amz-Date": None}, b"IncompleteSignature"),
        ({"X-Amz-Date": "20261399T000000Z"}, b"InvalidSignatureException"),
        ({"X-Amz-Target": TARGET + " "}, None),
        ({"X-Amz-Content-SHA256": "0" * 64}, b"InvalidSignatureException"),
    ],
)
async def test_a_change_after_signing_is_noticed(change: dict[str, Any], code: bytes | None) -> None:
    async with serve(Options(credentials=KEYS)) as server:
        headers = {**_signed(server.url, BODY), **change}
        status, answer = await _post(server.url, BODY, {k: v for k, v in headers.items() if v is not None})
    # White space at the end of a header is no part of it.
    assert (status == 200) if code is None else (status in (400, 403) and code in answer)


async def test_a_changed_body_or_region_is_noticed() -> None:
    async with serve(Options(credentials=KEYS)) as server:
        other = canonical_json(create_request(2))
        assert (await _post(server.url, other, _signed(server.url, BODY)))[0] == 403
        assert (await _post(server.url, BODY, _signed(server.url, BODY, region="eu-west-1")))[0] == 403
        assert server.audit()["outcomes"] == {"InvalidSignatureException": 2}


async def test_without_credentials_every_caller_is_accepted() -> None:
    async with serve(Options()) as server:
        assert (await asyncio.to_thread(post, server.url, create_request(1)))[0] == 200
        async with aws_client(server.url, key="ANY", secret="thing") as client:
            await client.create_engagement_invitation(**create_request(2))


@pytest.mark.parametrize(
    "text", ["", "KEY", "KEY:", ":SECRET", "K:S:", "K:S:12", "K:S:12345678901x", "K:S:1:2"]
)
def test_malformed_credentials_are_refused_without_showing_them(text: str) -> None:
    with pytest.raises(ValueError, match=r"KEY:SECRET") as refusal:
        Credential.parse(text)
    assert "12345678901x" not in str(refusal.value)


def test_credentials_are_read_and_hide_their_secret() -> None:
    assert Credential.parse("K:a/b+c") == Credential("K", "a/b+c", "111122223333")
    assert Credential.parse("K:s3cr3t:123456789012") == Credential("K", "s3cr3t", "123456789012")
    assert "s3cr3t" not in repr(Credential.parse("K:s3cr3t"))


@pytest.mark.parametrize(
    "options",
    [
        {"expired_credentials": ("X",)},
        {"credentials": (Credential("K", "1"), Credential("K", "2"))},
        {"clock_ahead": 60.0},
    ],
)
def test_conflicting_options_about_keys_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Options(**options)
