import numpy as np
import pytest

from experiments.claim import Claim, claims_table, from_json, verdict
from gujax.reporting import Interval, mean_interval

ABOVE, ACROSS, BELOW = Interval(2.0, 1.0, 3.0), Interval(0.5, -1.0, 2.0), Interval(-2.0, -3.0, -1.0)
UNKNOWN = mean_interval(np.array([1.0]))


@pytest.mark.parametrize(
    ("effects", "expected"),
    [
        ([ABOVE, ABOVE], "reproduced"),
        ([ABOVE, ACROSS], "partly reproduced"),
        ([ABOVE, BELOW], "not reproduced"),
        ([ACROSS], "not reproduced"),
        ([BELOW], "not reproduced"),
        ([ABOVE, UNKNOWN], "not tested at this scale"),
        ([], "not tested at this scale"),
    ],
)
def test_verdict(effects, expected):
    assert verdict(effects) == expected


def test_a_claim_survives_json():
    claim = Claim("key", "it is so", "paper", "1.0 ± 0.1", "reproduced")
    assert from_json([vars(claim)]) == [claim]
    assert claims_table([claim]).rows == [["it is so", "paper", "1.0 ± 0.1", "reproduced"]]
