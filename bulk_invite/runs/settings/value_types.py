"""The types of the settings: how each value is written, and what it becomes when it is read."""

from __future__ import annotations

import json
import math
import re
from ipaddress import IPv6Address
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, PositiveInt

from bulk_invite.domain.durations import format_duration, parse_duration
from bulk_invite.domain.member_path import MemberPath, is_path

_PERCENT: Final = re.compile(r"(\d+(?:\.\d+)?)%")
_ADDRESS: Final = re.compile(
    r"(?:(?P<name>[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?)|\[(?P<ipv6>[^\[\]]+)\]):(?P<port>[0-9]{1,5})"
)

_SIZE: Final = re.compile(r"(?P<number>[0-9]{1,12})(?P<unit>|kB|MB|GB)")
_BYTES: Final = {"": 1, "kB": 1000, "MB": 1_000_000, "GB": 1_000_000_000}

_MOST_DIGITS: Final = 12
"""Of a count: more than any, and few enough to be read as a number at once."""

_LONGEST_CAMPAIGN: Final = 255
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_SCHEMA_NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_LONGEST_CHANNEL: Final = 63

LEAST_RATE: Final = 0.0001
"""Calls per second: one call in three hours. Anything slower is a pause."""


def duration(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("expected a number and a unit in quotes, such as 2s, 15m or 8h")  # noqa: TRY004 - pydantic reports it
    return parse_duration(value)


def rate(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("expected calls per second, such as 5 or 0.5, or auto")  # noqa: TRY004 - likewise
    if isinstance(value, str) and value != "auto":
        try:
            return float(value)
        except ValueError:
            raise ValueError("expected calls per second, such as 5 or 0.5, or auto") from None
    return value


def finite_rate(value: float | str) -> float | str:
    if isinstance(value, float | int) and not (LEAST_RATE <= value < math.inf):
        raise ValueError(f"must be {LEAST_RATE} or more")
    return value


def size(value: object) -> object:
    if not isinstance(value, str):
        return value
    found = _SIZE.fullmatch(value)
    if found is None:
        raise ValueError("expected a number and a unit, such as 500kB, 50MB or 1GB")
    return int(found["number"]) * _BYTES[found["unit"]]


def size_text(value: int) -> str:
    """As it would be written."""
    unit = max((each for each in _BYTES if value % _BYTES[each] == 0), key=lambda each: _BYTES[each])
    return f"{value // _BYTES[unit]}{unit}"


def http_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not value.isprintable() or " " in value:
        raise ValueError("expected a URL such as http://127.0.0.1:8080 or https://example.com")
    return value


def endpoint(value: str) -> str:
    """A URL without user and password: the SDK ignores them, and the log shows the URL."""
    if urlsplit(http_url(value)).username is not None:
        raise ValueError("remove the user and password: credentials come from the AWS credential chain")
    return value


def address(value: str) -> str:
    """`HOST:PORT`, an IPv6 address in brackets; kept as text."""
    host_and_port(value)
    return value


def host_and_port(text: str) -> tuple[str, int]:
    """A port by itself is of this machine only. Raises ValueError for what is no `HOST:PORT`."""
    found = _ADDRESS.fullmatch(text if ":" in text else f"127.0.0.1:{text}")
    if found is None or int(found["port"]) > 65535:  # noqa: PLR2004 - the largest there is
        raise ValueError("expected HOST:PORT, such as 127.0.0.1:8081, [::1]:8081 or 0.0.0.0:8081")
    if found["name"] is not None:
        return found["name"], int(found["port"])
    try:
        return str(IPv6Address(found["ipv6"])), int(found["port"])
    except ValueError:
        raise ValueError("expected an IPv6 address in the brackets, such as [::1]:8081") from None


_ADDRESS_LIKE: Final = re.compile(
    r"://|:[^/]*@|\b(?:password|host|service|dbname)=|^\s*postgres(?:ql)?:", re.IGNORECASE
)
_DATABASES: Final = ("postgresql://", "postgres://")


def is_database(name: str) -> bool:
    """Whether it is the address of a database, not the name of a file."""
    return name.startswith(_DATABASES)


def may_be_address(name: str) -> bool:
    """Whether it looks like an address, which may hold a password, though it is none that we know."""
    return not is_database(name) and _ADDRESS_LIKE.search(name) is not None


def file_or_database(value: str) -> str:
    if may_be_address(value):
        # A URL may hold a password, so it is not repeated.
        raise ValueError("expected a file name or a database URL: postgresql://USER@HOST/DATABASE")
    return value


def failure_limit(value: object) -> object:
    """`20` or `5%`, kept as text; a share has to be one."""
    text = str(value)
    percent = _PERCENT.fullmatch(text)
    if percent is not None and 0 < float(percent.group(1)) <= 100:  # noqa: PLR2004 - per cent
        return text
    if text.isdecimal() and len(text) <= _MOST_DIGITS and int(text) > 0:
        return text
    raise ValueError("expected a number of rows, such as 20, or a share, such as 5%")


def count_or_none(value: object) -> object:
    """`10000`, or `none` for no limit; kept as a whole number or `none`."""
    text = str(value).replace(",", "")
    if text == "none":
        return text
    if isinstance(value, bool) or not text.isdecimal() or len(text) > _MOST_DIGITS or int(text) < 1:
        raise ValueError("expected a number of calls, such as 10000, or none")
    return int(text)


def mapping(value: object) -> object:
    """A table of the file, or the same as JSON text."""
    try:
        read = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        read = None
    if not isinstance(read, dict):
        raise ValueError('expected a JSON object, such as {"Invitation.Message": "text"}')  # noqa: TRY004 - likewise
    return read


def mapping_of_texts(value: object) -> object:
    """A mapping whose values are texts."""
    read = mapping(value)
    if isinstance(read, dict) and not all(isinstance(each, str) for each in read.values()):
        raise ValueError('expected a text for every name, such as {"Invitation.Message": "text"}')
    return read


def campaign(value: str) -> str:
    if len(value) > _LONGEST_CAMPAIGN or _CONTROL.search(value):
        raise ValueError(f"expected at most {_LONGEST_CAMPAIGN} characters and no control characters")
    return value


def schema_name(value: str) -> str:
    if not _SCHEMA_NAME.fullmatch(value):
        raise ValueError("expected lower-case letters, digits and underscores, not beginning with a digit")
    return value


def channel_name(value: str) -> str:
    if not 0 < len(value) <= _LONGEST_CHANNEL or "\0" in value:
        raise ValueError(f"expected 1 to {_LONGEST_CHANNEL} characters")
    return value


def column_or_path(value: str) -> str:
    """The name of a column, or a path to a member of the row, in its only form."""
    return str(MemberPath.parse(value)) if is_path(value) else value


Text = Annotated[str, Field(min_length=1)]
ColumnOrPath = Annotated[Text, AfterValidator(column_or_path)]
CampaignName = Annotated[str, AfterValidator(campaign)]
SchemaName = Annotated[str, AfterValidator(schema_name)]
ChannelName = Annotated[str, AfterValidator(channel_name)]
CheckpointLocation = Annotated[Text, AfterValidator(file_or_database)]
HttpUrl = Annotated[str, AfterValidator(http_url)]
AwsUrl = Annotated[str, AfterValidator(endpoint)]
HostPort = Annotated[str, AfterValidator(address)]
FailureLimit = Annotated[str, BeforeValidator(failure_limit)]
CallsPerDay = Annotated[Literal["none"] | PositiveInt, BeforeValidator(count_or_none)]
Burst = Annotated[float, Field(ge=1, allow_inf_nan=False)]
Rate = Annotated[float, Field(ge=LEAST_RATE, allow_inf_nan=False)]
RateOrAuto = Annotated[Literal["auto"] | float, BeforeValidator(rate), AfterValidator(finite_rate)]
Duration = Annotated[
    float, BeforeValidator(duration), PlainSerializer(format_duration), Field(gt=0, allow_inf_nan=False)
]
Size = Annotated[int, BeforeValidator(size), PlainSerializer(size_text), Field(ge=1000)]
Columns = Annotated[dict[str, str], BeforeValidator(mapping_of_texts)]
Constants = Annotated[dict[str, Any], BeforeValidator(mapping)]
