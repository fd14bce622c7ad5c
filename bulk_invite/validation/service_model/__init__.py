"""The contract with Partner Central as machine-readable shapes: the one source of truth for requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from bulk_invite.domain.errors import ServiceModelError

FOLDER = Path(__file__).parent
"""Root in botocore's loader layout (`<service>/<version>/service-2.json`)."""

SHIPPED = FOLDER / "partnercentral-selling" / "2022-07-26" / "service-2.json"
REQUEST = "CreateEngagementInvitationRequest"

_HINT = "Name a service-2.json of partnercentral-selling, or leave the setting out to use the shipped one."


@dataclass(frozen=True)
class ServiceModel:
    """A parsed `service-2.json`; `shapes` is as it stands in the file, keyed by shape name."""

    path: Path
    shapes: Mapping[str, Mapping[str, Any]]

    def shape(self, name: str) -> Mapping[str, Any]:
        try:
            return self.shapes[name]
        except KeyError:
            raise ServiceModelError(f"{self.path} has no shape {name}.", hint=_HINT) from None


def load(path: Path | None = None) -> ServiceModel:
    """Read a service model: the shipped one, or another file.

    Raises ServiceModelError when the file is missing, is not JSON, or does not describe the request.
    """
    path = path or SHIPPED
    try:
        document = orjson.loads(path.read_bytes())
    except OSError as error:
        raise ServiceModelError(
            f"Cannot read the service model {path}: {error.strerror}.", hint=_HINT
        ) from error
    except orjson.JSONDecodeError as error:
        raise ServiceModelError(f"{path} is not JSON: {error}.", hint=_HINT) from error
    shapes = document.get("shapes") if isinstance(document, dict) else None
    if not isinstance(shapes, dict) or not all(isinstance(shape, dict) for shape in shapes.values()):
        raise ServiceModelError(f"{path} is JSON but not a service model: it has no shapes.", hint=_HINT)
    if shapes.get(REQUEST, {}).get("type") != "structure":
        raise ServiceModelError(f"{path} does not describe {REQUEST}.", hint=_HINT)
    metadata = document.get("metadata")
    if not (isinstance(metadata, dict) and {"serviceId", "apiVersion", "protocol"} <= metadata.keys()):
        raise ServiceModelError(f"{path} is a service model without the metadata to call by.", hint=_HINT)
    return ServiceModel(path, shapes)


def sensitive_members(model: ServiceModel) -> frozenset[str]:
    """Names of the members of a request that the model marks sensitive, at the shape or at the member."""
    found: set[str] = set()
    seen: set[str] = set()
    waiting = [REQUEST]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        shape = model.shape(name)
        for member, reference in shape.get("members", {}).items():
            if is_sensitive(model, reference):
                found.add(member)
        waiting += [reference["shape"] for reference in _references(shape)]
    return frozenset(found)


def is_sensitive(model: ServiceModel, reference: Mapping[str, Any]) -> bool:
    shape = model.shape(reference["shape"])
    if reference.get("sensitive") or shape.get("sensitive"):
        return True
    return "member" in shape and is_sensitive(model, shape["member"])


def _references(shape: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    references = list(shape.get("members", {}).values())
    return [*references, shape["member"]] if "member" in shape else references
