"""What charts share."""

import pytest

from tl_core.charts.base import legend_columns


@pytest.mark.parametrize(
    ("lengths", "columns"),
    [
        ((), 4),
        ((5, 5, 5, 5), 4),  # 65 pixels each
        ((16, 12, 9, 13, 10), 3),  # 142 + 114 + 93 + 121 is too wide, 142 + 114 + 93 is not
        ((20, 20, 20), 2),  # cut at 140: 170 each
        ((60, 3), 4),  # the long one is cut, and an empty column takes no room
    ],
)
def test_a_legend_has_as_many_columns_as_fit(lengths, columns):
    assert legend_columns(["x" * length for length in lengths], limit=140, most=4) == columns


def test_a_legend_of_names_that_never_fit_side_by_side_is_a_list():
    assert legend_columns(["x" * 60] * 3, limit=400, most=3) == 1
