"""What a row may be, compiled from the service model: `row_validator` is the way in, the rest its parts.

`shapes` and `patterns` read the model; `compiled` makes pydantic types of it, `shape_validator` says all that
is wrong, `json_schema` and `examples` show it; `json_text` reads strictly; `row_rules` knows what no shape
says.
"""

from bulk_invite.validation.examples import examples
from bulk_invite.validation.json_schema import row_json_schema
from bulk_invite.validation.row_validator import RowValidator
from bulk_invite.validation.shape_validator import ShapeValidator

__all__ = ["RowValidator", "ShapeValidator", "examples", "row_json_schema"]
