"""Tables: any file of rows to float32 numbers, with the reason for every column written down."""

from steps.tables.read import encode_rows, read_table
from steps.tables.schema import DEFAULT_MISSING_VALUES, Kind, TableSchema
from steps.tables.table import EncodedRows, Table, TableError, TableOptions

__all__ = [
    "DEFAULT_MISSING_VALUES",
    "EncodedRows",
    "Kind",
    "Table",
    "TableError",
    "TableOptions",
    "TableSchema",
    "encode_rows",
    "read_table",
]
