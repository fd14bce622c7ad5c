"""Access keys that the emulator accepts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

DEFAULT_ACCOUNT: Final = "111122223333"

_ACCOUNT_DIGITS: Final = 12


@dataclass(frozen=True, slots=True)
class Credential:
    """An access key that the emulator knows, and the account it belongs to."""

    access_key: str
    secret_key: str = field(repr=False)
    account: str = DEFAULT_ACCOUNT

    @classmethod
    def parse(cls, text: str) -> Credential:
        """Parse `KEY:SECRET` or `KEY:SECRET:ACCOUNT`. Raises ValueError without the secret."""
        access_key, _, rest = text.partition(":")
        secret_key, colon, account = rest.partition(":")
        if not access_key or not secret_key:
            raise ValueError("Credentials must be KEY:SECRET or KEY:SECRET:ACCOUNT.")
        if not colon:
            return cls(access_key, secret_key)
        if len(account) != _ACCOUNT_DIGITS or not (account.isascii() and account.isdigit()):
            raise ValueError("The account in KEY:SECRET:ACCOUNT must have twelve digits.")
        return cls(access_key, secret_key, account)
