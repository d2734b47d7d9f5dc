"""How long ago something was, as kubectl words it."""

import pytest

from api.kube.age import age

MINUTE, HOUR, DAY, YEAR = 60, 3600, 86_400, 365 * 86_400


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "<invalid>"),
        (-1.5, "0s"),
        (0, "0s"),
        (70.9, "70s"),
        (119, "119s"),
        (120, "2m"),
        (190, "3m10s"),
        (10 * MINUTE + 5, "10m"),
        (70 * MINUTE, "70m"),
        (3 * HOUR, "3h"),
        (7 * HOUR + 59 * MINUTE + 59, "7h59m"),
        (47 * HOUR, "47h"),
        (49 * HOUR, "2d1h"),
        (8 * DAY + 2 * HOUR, "8d"),
        (367 * DAY, "367d"),
        (2 * YEAR + 25 * HOUR, "2y1d"),
        (8 * YEAR + 2 * HOUR, "8y"),
    ],
)
def test_it_has_the_units_that_kubectl_shows(seconds: float, words: str) -> None:
    """The values of Kubernetes' own test of HumanDuration, and the edges between."""
    assert age(seconds) == words
