"""Partner Central through aioboto3; one session and one client for the life of the process."""

from bulk_invite.partner_central.client import PartnerCentral
from bulk_invite.partner_central.connection import Connection, connect
from bulk_invite.partner_central.credentials_origin import Provenance
from bulk_invite.partner_central.endpoint_check import Reached, reach

__all__ = ["Connection", "PartnerCentral", "Provenance", "Reached", "connect", "reach"]
