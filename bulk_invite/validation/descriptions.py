"""What each member of a row means, for editors that show the JSON Schema. A model may have other members."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bulk_invite.validation.shapes import Listing, Shape, Text

_SENSITIVE: Final = "Sensitive: it never reaches the log or the checkpoint."

DESCRIPTIONS: Final[Mapping[str, str]] = {
    "CreateEngagementInvitationRequest.Catalog": (
        "Sandbox for tests, AWS for real invitations. Leave it out: the run sets it (--catalog), and rejects "
        "a row with another one."
    ),
    "CreateEngagementInvitationRequest.ClientToken": (
        "Identifies the invitation: a repeated call with the same token creates no second one. Leave it out: "
        "it is then derived from the content of the row and the campaign."
    ),
    "CreateEngagementInvitationRequest.EngagementIdentifier": (
        "The engagement that the partner is invited to join, such as eng-0123456789abcd."
    ),
    "CreateEngagementInvitationRequest.Invitation": "Who is invited, with which words, and to what.",
    "Invitation.Message": "What the partner reads first.",
    "Invitation.Receiver": "The partner who is invited.",
    "Invitation.Payload": "What the partner is invited to: an opportunity or a lead, exactly one of them.",
    "Receiver.Account": "The partner, named by an AWS account.",
    "AccountReceiver.Alias": "A name of the account for people, such as Example Partner Delivery.",
    "AccountReceiver.AwsAccountId": (
        "The partner's AWS account: 12 digits in quotes with all leading zeros, such as 012345678901."
    ),
    "Payload.OpportunityInvitation": "A customer's project that the partner may work on.",
    "Payload.LeadInvitation": "A contact that may become an opportunity, and how it came about.",
    "OpportunityInvitationPayload.SenderContacts": "People on your side whom the partner can ask.",
    "OpportunityInvitationPayload.ReceiverResponsibilities": (
        "The roles that you expect the partner to take, such as Services Partner."
    ),
    "OpportunityInvitationPayload.Customer": "The company that the project is for.",
    "OpportunityInvitationPayload.Project": "What the customer wants, until when and for how much.",
    "SenderContact.Email": "Email address of the contact, such as maria.lindgren@example.com.",
    "SenderContact.FirstName": "First name of the contact.",
    "SenderContact.LastName": "Last name of the contact.",
    "SenderContact.BusinessTitle": "Position of the contact, such as Alliance Manager.",
    "SenderContact.Phone": (
        "Phone number of the contact: a plus sign, country code and number without spaces, such as "
        "+442079460123."
    ),
    "EngagementCustomer.Industry": "Industry of the customer; Other if none fits.",
    "EngagementCustomer.CompanyName": "Name of the customer's company.",
    "EngagementCustomer.WebsiteUrl": "Website of the customer, such as https://www.example.com.",
    "EngagementCustomer.CountryCode": "Country of the customer: two capital letters, such as GB.",
    "ProjectDetails.BusinessProblem": "The problem that the project solves, in whole sentences.",
    "ProjectDetails.Title": "A short name of the project.",
    "ProjectDetails.TargetCompletionDate": (
        "The day on which the project is planned to end: year, month and day, such as 2030-06-30."
    ),
    "ProjectDetails.ExpectedCustomerSpend": "What the customer is expected to spend. The list may be empty.",
    "ExpectedCustomerSpend.Amount": (
        "Expected spend per month, in quotes: digits, and up to two decimals after a point, such as 12500.00."
    ),
    "ExpectedCustomerSpend.CurrencyCode": "Currency of the amount: three capital letters, such as USD.",
    "ExpectedCustomerSpend.Frequency": "How often the amount is spent. Only Monthly is possible.",
    "ExpectedCustomerSpend.TargetCompany": (
        "The company that the money goes to. Write AWS: the service replaces any other name."
    ),
    "ExpectedCustomerSpend.EstimationUrl": (
        "A shared estimate of the AWS Pricing Calculator: https://calculator.aws/#/estimate?id= and 32 to 64 "
        "hexadecimal digits."
    ),
    "LeadInvitationPayload.Customer": "The company that the lead is about.",
    "LeadInvitationPayload.Interaction": "How the contact with the customer came about.",
    "LeadInvitationCustomer.Industry": "Industry of the customer; Other if none fits.",
    "LeadInvitationCustomer.CompanyName": "Name of the customer's company.",
    "LeadInvitationCustomer.WebsiteUrl": "Website of the customer, such as https://www.example.com.",
    "LeadInvitationCustomer.CountryCode": "Country of the customer: two capital letters, such as GB.",
    "LeadInvitationCustomer.AwsMaturity": "How far the customer is with AWS, such as Evaluating.",
    "LeadInvitationCustomer.MarketSegment": "Size of the customer, from Micro to Enterprise.",
    "LeadInvitationInteraction.SourceType": "The kind of occasion that led to the contact, such as Event.",
    "LeadInvitationInteraction.SourceId": "Your identifier of that occasion, such as booth-0042.",
    "LeadInvitationInteraction.SourceName": "Its name for people, such as Example Retail Forum.",
    "LeadInvitationInteraction.Usecase": "What the customer would like to use AWS for.",
    "LeadInvitationInteraction.ContactBusinessTitle": (
        "Position of the person at the customer, such as Head of Infrastructure."
    ),
}
"""By the name of the shape and of its member."""


def description(record: str, member: str, shape: Shape, *, sensitive: bool) -> str:
    """What a member means, how long it may be, and whether it is sensitive; "" if nothing is known."""
    parts = (DESCRIPTIONS.get(f"{record}.{member}", ""), _length(shape), _SENSITIVE if sensitive else "")
    return " ".join(part for part in parts if part)


def _length(shape: Shape) -> str:
    match shape:
        case Text(pattern=pattern) if pattern.max_length is not None:
            return _between(pattern.min_length, pattern.max_length, "characters")
        case Listing(min_items=least, max_items=int(most)):
            return _between(least, most, "entries")
        case _:
            return ""


def _between(least: int, most: int, things: str) -> str:
    return f"{least} to {most} {things}." if least else f"At most {most} {things}."
