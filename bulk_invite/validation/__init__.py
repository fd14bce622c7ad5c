"""The validation of rows, compiled from the service model. `row_validator` is the entry point.

`shapes` and `patterns` read the model; `compiled` builds pydantic types from it, `shape_validator` finds all
errors, `json_schema` (with `descriptions`) and `examples` present it; `json_text` parses strictly;
`row_rules` adds rules that the model lacks.
"""

from bulk_invite.validation.examples import examples
from bulk_invite.validation.json_schema import row_json_schema
from bulk_invite.validation.row_validator import RowValidator
from bulk_invite.validation.shape_validator import ShapeValidator

__all__ = ["RowValidator", "ShapeValidator", "examples", "row_json_schema"]
