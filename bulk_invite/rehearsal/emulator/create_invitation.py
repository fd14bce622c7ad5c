"""Decides CreateEngagementInvitation. Synchronous; the server applies faults and sends the response.

The order of the checks, here and in the server:
 1. the signature and its credentials
 2. a fault before the service processes the call
 3. an account that may not send at all: AccessDeniedException
 4. the account's quota, per bucket or window and per rolling day: ThrottlingException. A granted call is
    charged whatever its outcome: refused, failed and replayed calls count, too
 5. the request against the service model: SerializationException, ValidationException
 6. the engagement: unknown, ResourceNotFoundException; forbidden, AccessDeniedException
 7. the token: remembered with the same request, the same Id and Arn; with another request, ConflictException
 8. the number of invitations of the engagement: ServiceQuotaExceededException
 9. the commit of the invitation
10. a fault after the commit
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import translate
from typing import Any

from bulk_invite.domain.tokens import body_hash, canonical_json
from bulk_invite.rehearsal.emulator.call import Call
from bulk_invite.rehearsal.emulator.ids import invitation_arn, invitation_id
from bulk_invite.rehearsal.emulator.ledger_entries import InvitationEntry
from bulk_invite.rehearsal.emulator.model_check import RequestCheck
from bulk_invite.rehearsal.emulator.options import Options
from bulk_invite.rehearsal.emulator.responses import Answer, refusal, success, throttled
from bulk_invite.rehearsal.emulator.state import ServiceState


@dataclass(frozen=True, slots=True)
class Decision:
    """An answer, whether the call is charged to the quota, and the invitation to commit, if any."""

    answer: Answer
    charged: bool = False
    invitation: InvitationEntry | None = None


class CreateInvitation:
    """Decides Create calls on `state`. It charges the quota but commits nothing itself."""

    def __init__(self, options: Options, state: ServiceState, check: RequestCheck) -> None:
        self._options = options
        self._state = state
        self._check = check
        self._unknown = _any_of(options.unknown_engagements)
        self._forbidden = _any_of(options.forbidden_engagements)

    def decide(self, call: Call, now: float) -> Decision:
        """Decide steps 3 to 9."""
        if call.account in self._options.deny_accounts:
            return Decision(refusal("AccessDeniedException", "You are not allowed to invite to engagements."))
        wait = self._state.quota(call.account).take(now)
        if wait > 0:
            return Decision(throttled(wait if self._options.tell_retry_after else None))
        answer = self._check.refusal(call.request) or self._engagement_refusal(call.request)
        if answer is not None:
            return Decision(answer, charged=True)
        return self._decide_valid(call, call.request, now)

    def _engagement_refusal(self, request: Any) -> Answer | None:
        engagement = request["EngagementIdentifier"]
        if self._unknown.fullmatch(engagement):
            return refusal("ResourceNotFoundException", f"The engagement {engagement} does not exist.")
        if self._forbidden.fullmatch(engagement):
            return refusal("AccessDeniedException", f"You are not a member of the engagement {engagement}.")
        return None

    def _decide_valid(self, call: Call, request: dict[str, Any], now: float) -> Decision:
        body_sha256 = body_hash(canonical_json(request))
        remembered = self._state.tokens.recall(call.account, request["ClientToken"], now)
        if remembered is not None and remembered.body_sha256 != body_sha256:
            message = "The ClientToken was used with other parameters."
            return Decision(refusal("ConflictException", message), charged=True)
        if remembered is not None:
            invited = self._state.invited(remembered.invitation)
            return Decision(_created("replayed", call.account, invited.catalog, invited.id), charged=True)
        limit = self._options.invitations_per_engagement
        so_far = self._state.of_engagement(request["Catalog"], request["EngagementIdentifier"])
        if limit is not None and len(so_far) >= limit:
            message = f"An engagement has at most {limit} invitations."
            return Decision(refusal("ServiceQuotaExceededException", message), charged=True)
        entry = self._invitation(call, request, body_sha256, now)
        return Decision(
            _created("created", entry.account, entry.catalog, entry.id), charged=True, invitation=entry
        )

    def _invitation(
        self, call: Call, request: dict[str, Any], body_sha256: str, now: float
    ) -> InvitationEntry:
        number = self._state.next_invitation
        catalog, token = request["Catalog"], request["ClientToken"]
        identifier = invitation_id(self._options.seed, number, token)
        content = {name: value for name, value in request.items() if name != "ClientToken"}
        return InvitationEntry(
            number=number,
            time=now,
            call=call.number,
            account=call.account,
            catalog=catalog,
            client_token=token,
            id=identifier,
            arn=invitation_arn(call.account, catalog, identifier),
            engagement=request["EngagementIdentifier"],
            receiver_account=request["Invitation"]["Receiver"]["Account"]["AwsAccountId"],
            payload_type=next(iter(request["Invitation"]["Payload"])),
            body_sha256=body_sha256,
            content_sha256=body_hash(canonical_json(content)),
            request=request,
        )


def _created(outcome: str, account: str, catalog: str, identifier: str) -> Answer:
    return success(outcome, {"Id": identifier, "Arn": invitation_arn(account, catalog, identifier)})


def _any_of(patterns: Iterable[str]) -> re.Pattern[str]:
    """One expression for names and globs; without any, one that matches nothing."""
    return re.compile("|".join(translate(pattern) for pattern in patterns) or r"(?!)")
