"""When models are measured along training."""

from experiments.membership.observed import checkpoint_epochs


def test_checkpoints_are_spread_and_include_the_last_epoch():
    assert checkpoint_epochs(30, 3) == {9, 19, 29}
    assert checkpoint_epochs(2, 5) == {0, 1}
    assert checkpoint_epochs(4, 1) == {3}
