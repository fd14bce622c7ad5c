"""Requests built from columns: dotted paths of members as a tree, and the tree as a JSON object in SQL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from psycopg import sql

from bulk_invite.domain.errors import UsageError


def tree_of(members: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted paths as a tree. Raises UsageError if one path leads through another's value."""
    tree: dict[str, Any] = {}
    for path, value in members.items():
        *names, last = path.split(".")
        place: Any = tree
        for name in names:
            place = place.setdefault(name, {})
            if not isinstance(place, dict):
                break
        if not isinstance(place, dict) or last in place or not all((*names, last)):
            raise UsageError(
                f"The columns in the configuration conflict: {path!r} has no place.",
                hint="Give each path once, such as Invitation.Message, and none below it.",
                topic="postgresql",
            )
        place[last] = value
    return tree


def json_object(tree: Mapping[str, Any]) -> sql.Composable:
    members = []
    for name, value in tree.items():
        members += [sql.Literal(name), json_object(value) if isinstance(value, dict) else value]
    return sql.SQL("jsonb_build_object({})").format(sql.SQL(", ").join(members))
