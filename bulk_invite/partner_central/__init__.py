"""Partner Central through aioboto3: `client` calls, `answers` says in plain values what came back."""

from bulk_invite.partner_central.client import Connection, PartnerCentral, connect

__all__ = ["Connection", "PartnerCentral", "connect"]
