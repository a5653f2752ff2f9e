"""Tables as CSV files that a spreadsheet opens as what they are: text stays text."""

from __future__ import annotations

import re

import pandas as pd

# What a spreadsheet takes for a formula and may act on; a number with a sign is none.
_FORMULA = re.compile(r"(?![+-]?\d+(\.\d+)?$)[=+\-@\t\r]")


def csv_text(table: pd.DataFrame) -> str:
    """Return a table as CSV, without its index.

    Text that a spreadsheet would run as a formula, such as a file named ``=1+1.jpg``, gets an
    apostrophe before it; numbers are left alone.

    References:
        OWASP, "CSV injection", https://owasp.org/www-community/attacks/CSV_Injection.
    """
    columns = [
        column if pd.api.types.is_numeric_dtype(column) else column.map(_as_text)
        for _, column in table.items()
    ]
    return pd.concat(columns, axis=1).rename(columns=_as_text).to_csv(index=False)


def _as_text(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value
