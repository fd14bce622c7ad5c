"""The members read of a request that the service model has accepted."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from bulk_invite.validation.row_rules import Project


class _Payload(TypedDict, total=False):
    OpportunityInvitation: _Opportunity


class _Opportunity(TypedDict, total=False):
    Project: Project


class _Account(TypedDict, total=False):
    AwsAccountId: str


class _Receiver(TypedDict, total=False):
    Account: _Account


class _Invitation(TypedDict):
    Payload: _Payload
    Receiver: NotRequired[_Receiver]


class AcceptedRequest(TypedDict):
    """Catalog and ClientToken are absent until they are filled in."""

    Catalog: NotRequired[str]
    ClientToken: NotRequired[str]
    EngagementIdentifier: str
    Invitation: _Invitation


def account_of(request: AcceptedRequest) -> str:
    """The account of the receiver; "" where a service model knows none."""
    return request["Invitation"].get("Receiver", {}).get("Account", {}).get("AwsAccountId", "")
