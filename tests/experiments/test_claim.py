import numpy as np
import pytest

from experiments.framework.claim import Claim, from_json, verdict
from experiments.framework.seeds import of_every_seed, over_seeds
from experiments.report.tables import claims_table
from gujax.statistics import Interval, mean_interval

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


def test_a_seed_without_a_value_leaves_a_claim_untested():
    known, partly = over_seeds([1.0, 1.1, 1.2]), over_seeds([1.0, 1.1, float("nan")])
    assert verdict([of_every_seed(known)]) == "reproduced"
    assert verdict([of_every_seed(partly)]) == "not tested at this scale"


def test_a_claim_survives_json():
    claim = Claim("key", "it is so", "paper", "1.0 ± 0.1", "reproduced")
    assert from_json([vars(claim)]) == [claim]
    assert claims_table([claim]).rows == [["it is so", "paper", "1.0 ± 0.1", "reproduced"]]
