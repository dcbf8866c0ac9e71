import json

import numpy as np
import pytest

from experiments.framework.claims import above, below, from_json, verdict
from experiments.framework.claims import test as tested_claim
from experiments.framework.results import Measured
from experiments.framework.run_directory import to_json
from experiments.report.tables import claims_table
from gujax.statistics import Interval, mean_interval

ABOVE, ACROSS, BELOW = Interval(2.0, 1.0, 3.0), Interval(0.5, -1.0, 2.0), Interval(-2.0, -3.0, -1.0)
UNKNOWN = mean_interval(np.array([1.0]))


@pytest.mark.parametrize(
    ("effects", "expected"),
    [
        ([ABOVE, ABOVE], "reproduced"),
        ([ABOVE, ACROSS], "partly"),
        ([ABOVE, BELOW], "contradicted"),
        ([ACROSS], "not told apart"),
        ([ACROSS, BELOW], "contradicted"),
        ([ABOVE, UNKNOWN], "not tested at this scale"),
        ([], "not tested at this scale"),
    ],
)
def test_verdict(effects, expected):
    assert verdict(effects) == expected


def test_margins():
    assert above(ABOVE, 0.5) == Interval(1.5, 0.5, 2.5)
    assert below(ABOVE, 5.0) == Interval(3.0, 2.0, 4.0)
    measured = Measured(np.array([0.01, 0.02, 0.03]))
    assert verdict([below(measured, 0.05)]) == "reproduced"
    assert verdict([below(measured, 0.02)]) == "not told apart"


def test_a_seed_without_a_value_leaves_a_claim_untested():
    known, partly = Measured(np.array([1.0, 1.1, 1.2])), Measured(np.array([1.0, 1.1, np.nan]))
    assert verdict([known.of_every_seed]) == "reproduced"
    assert verdict([partly.of_every_seed]) == "not tested at this scale"


def test_a_claim_survives_json():
    claim = tested_claim("key", "it is so", "paper", "1.0 ± 0.1", [ABOVE, UNKNOWN])
    (read,) = from_json(json.loads(to_json([vars(claim)])))
    assert read.effects[0] == ABOVE
    assert np.isnan(read.effects[1].low)
    assert (read.key, read.verdict) == ("key", "not tested at this scale")
    shown = ["it is so", "paper", "1.0 ± 0.1", "not tested at this scale"]
    assert claims_table([claim]).rows == [shown]


def test_verdicts_of_earlier_versions_are_refused():
    old = {
        "key": "k",
        "statement": "s",
        "source": "p",
        "measured": "m",
        "verdict": "not reproduced",
    }
    with pytest.raises(ValueError, match="run the job again"):
        from_json([old])
