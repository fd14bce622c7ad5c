"""Valid example rows with every member. The structure comes from the model, the values from here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bulk_invite.domain.errors import ServiceModelError
from bulk_invite.domain.tokens import canonical_json, derive_token
from bulk_invite.validation.service_model import REQUEST, ServiceModel
from bulk_invite.validation.shape_validator import ShapeValidator
from bulk_invite.validation.shapes import Choice, Listing, Record, Scalar, Shape, Text, resolve

_CAMPAIGN = "example"


def _engagement(number: int) -> str:
    return f"eng-{0x0123456789ABCD + number:014x}"


# By member name. A value that the model does not accept is skipped.
_VALUES: Mapping[str, str] = {
    "Alias": "Example Partner Delivery",
    "Amount": "12500.00",
    "AwsAccountId": "123456789012",
    "AwsMaturity": "Evaluating",
    "BusinessProblem": "Nightly stock reports take eleven hours and reach the shops after they have opened.",
    "BusinessTitle": "Alliance Manager",
    "Catalog": "Sandbox",
    "CompanyName": "Example Outfitters Ltd",
    "ContactBusinessTitle": "Head of Infrastructure",
    "CountryCode": "GB",
    "CurrencyCode": "USD",
    "Email": "maria.lindgren@example.com",
    "EngagementIdentifier": _engagement(0),
    "EstimationUrl": "https://calculator.aws/#/estimate?id=0123456789abcdef0123456789abcdef",
    "FirstName": "Maria",
    "Frequency": "Monthly",
    "Industry": "Retail",
    "LastName": "Lindgren",
    "MarketSegment": "Medium",
    "Message": "We would like your team to take on the data migration of this project.",
    "Phone": "+442079460123",
    "ReceiverResponsibilities": "Services Partner",
    "SourceId": "booth-0042",
    "SourceName": "Example Retail Forum",
    "SourceType": "Event",
    "TargetCompany": "AWS",
    "TargetCompletionDate": "2099-06-30",
    "Title": "Stock reporting in minutes",
    "Usecase": "Moving stock reports from a data centre to a managed warehouse",
    "WebsiteUrl": "https://www.example.com",
}
_FILLER = "Example text. "


def examples(model: ServiceModel) -> list[dict[str, Any]]:
    """One valid row per payload type, with every member of the model and a token.

    Raises ServiceModelError if the model requires a member that none of the values fit.
    """
    requests = _Examples(model).of(resolve(model, REQUEST), REQUEST)
    rows = [request for request in requests if isinstance(request, dict)]
    return [_with_token(_with_own_engagement(row, number)) for number, row in enumerate(rows)]


def _with_own_engagement(request: dict[str, Any], number: int) -> dict[str, Any]:
    """Rows with one engagement and one account would be two invitations of the same partner."""
    if request.get("EngagementIdentifier") != _engagement(0):
        return request
    return {**request, "EngagementIdentifier": _engagement(number)}


def _with_token(request: dict[str, Any]) -> dict[str, Any]:
    without = {name: value for name, value in request.items() if name != "ClientToken"}
    token = derive_token(_CAMPAIGN, canonical_json(without))
    return {name: token if name == "ClientToken" else value for name, value in request.items()}


class _Examples:
    def __init__(self, model: ServiceModel) -> None:
        self._model = model

    def of(self, shape: Shape, member: str) -> Sequence[object]:
        """As many values as necessary to show each member of each union below; none if no value fits."""
        match shape:
            case Record(union=True):
                return [
                    {name: value} for name, inner in shape.members.items() for value in self.of(inner, name)
                ]
            case Record():
                return self._records(shape)
            case Listing(item=item):
                return [[value] for value in self.of(item, member)]
            case _:
                return self._plain(shape, member)

    def _records(self, record: Record) -> list[object]:
        members = {name: self.of(shape, name) for name, shape in record.members.items()}
        if lacking := [name for name in sorted(record.required) if not members[name]]:
            raise ServiceModelError(f"{self._model.path}: there is no example for {', '.join(lacking)}.")
        known = {name: values for name, values in members.items() if values}
        count = max((len(values) for values in known.values()), default=1)
        return [
            {name: values[min(i, len(values) - 1)] for name, values in known.items()} for i in range(count)
        ]

    def _plain(self, shape: Text | Choice | Scalar, member: str) -> Sequence[object]:
        validator = ShapeValidator(self._model, shape.name)
        candidates = (_VALUES.get(member), *_guesses(shape))
        return [value for value in candidates if value is not None and not validator.errors(value)][:1]


def _guesses(shape: Text | Choice | Scalar) -> Sequence[object]:
    match shape:
        case Text(pattern=pattern):
            length = max(pattern.min_length, min(len(_FILLER), pattern.max_length or len(_FILLER)))
            return [(_FILLER * (length // len(_FILLER) + 1))[:length]]
        case Choice(values=values):
            return values[:1]
        case Scalar(minimum=minimum):
            return [int(minimum or 1), True]
