from __future__ import annotations

import pytest

from sb3_integral.cli.durations import about


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.2, "0 seconds"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "1 minute"),
        (100, "1.7 minutes"),
        (40 * 60, "40 minutes"),
        (5400, "1.5 hours"),
        (3 * 86400, "3 days"),
        (20.4 * 86400, "20 days"),
    ],
)
def test_a_duration_is_told_in_its_largest_unit(seconds, said):
    assert about(seconds) == said
