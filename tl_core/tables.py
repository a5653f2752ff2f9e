"""Tables as CSV that spreadsheets do not run: no text in them is taken for a formula."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

# What a spreadsheet takes for a formula and may act on; a number with a sign is none.
_FORMULA = re.compile(r"(?![+-]?\d+(\.\d+)?$)[=+\-@\t\r]")


def safe_cell(value: object) -> object:
    """Return the value of a cell; text that a spreadsheet would run gets an apostrophe before it.

    References:
        OWASP, "CSV injection", https://owasp.org/www-community/attacks/CSV_Injection.

    Examples:
        >>> from tl_core.tables import safe_cell
        >>> safe_cell("=1+1.jpg"), safe_cell("cat.jpg"), safe_cell(-1.5)
        ("'=1+1.jpg", 'cat.jpg', -1.5)
    """
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value


def csv_text(table: pd.DataFrame) -> str:
    """Return a table as CSV without its index, each text as :func:`safe_cell` has it."""
    return safe_table(table).to_csv(index=False)


def safe_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of which each cell, column title and row name is as :func:`safe_cell` has it.

    What a page shows as a table goes through it, since a table's own toolbar and the clipboard give
    out the cells as they are.
    """
    import pandas as pd

    columns = [
        column if pd.api.types.is_numeric_dtype(column) else column.map(safe_cell)
        for _, column in table.items()
    ]
    safe = pd.concat(columns, axis=1) if columns else table
    return safe.rename(columns=safe_cell, index=safe_cell)
