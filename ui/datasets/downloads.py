"""Lists of files that pages offer for download."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from streamlit.delta_generator import DeltaGenerator

from tl_core.tables import csv_text


def draw_files_download(
    place: DeltaGenerator, files: Sequence[tuple[str, str]], file_name: str, key: str
) -> None:
    """Draw the download of files with the reason why each cannot be read, as one CSV."""
    table = pd.DataFrame(files, columns=["file", "reason"])
    place.download_button(
        "Download list",
        lambda: csv_text(table).encode("utf-8", "backslashreplace"),
        file_name=file_name,
        mime="text/csv",
        key=key,
        icon=":material/download:",
        on_click="ignore",
        help="The files that cannot be read, each with the reason.",
    )
