import numpy as np
import pytest
from scipy.stats import norm
from sklearn.ensemble import RandomForestClassifier

from gujax.attacks.attributes import infer_attribute
from gujax.leakage import v_information


def channels(amplitudes, num=1500, width=4):
    rng = np.random.default_rng(0)
    attribute = rng.integers(0, 2, num)
    rows = {a: rng.normal(size=(num, width)) for a in amplitudes}
    for amplitude, noise in rows.items():
        noise[:, 1] += amplitude * (2 * attribute - 1)
    return rows, attribute


def test_gaussian_channel_and_what_v_information_predicts():
    rows, attribute = channels((0.0, 0.3, 0.6, 1.2, 2.0))
    attacks = {a: infer_attribute(x, attribute) for a, x in rows.items()}
    for amplitude, attack in attacks.items():
        # The best guess is the sign; five standard errors of a share of 1500.
        assert attack.accuracy.mean == pytest.approx(norm.cdf(amplitude), abs=0.065)
        assert attack.auc == pytest.approx(norm.cdf(np.sqrt(2) * amplitude), abs=0.065)
        assert attack.success.mean() == pytest.approx(attack.accuracy.mean)
        assert attack.accuracy.low <= attack.accuracy.mean <= attack.accuracy.high
    chance = attacks[0.0]
    assert chance.accuracy.low < chance.majority + 0.02
    assert chance.accuracy.high > 0.48

    leaked = v_information(rows, attribute)
    accuracies = [attack.accuracy.mean for attack in attacks.values()]
    informations = [result.information.mean for result in leaked.values()]
    assert np.array_equal(np.argsort(accuracies), np.argsort(informations))
    # Example by example too: a right guess is one with positive pointwise V-information.
    guessed = attacks[1.2].success
    assert leaked[1.2].pointwise[guessed].mean() > 0 > leaked[1.2].pointwise[~guessed].mean()


def test_three_classes_and_another_attacker():
    rng = np.random.default_rng(0)
    attribute = np.array([3, 5, 9])[np.arange(300) % 3]
    layer = {"kernel": rng.normal(size=(300, 2, 2)), "bias": (attribute == 5) * 1.0}
    forest = RandomForestClassifier(20, random_state=0)
    attack = infer_attribute(layer, attribute, forest)
    assert list(attack.classes) == [3, 5, 9]
    # One class is seen, the other two are guessed: 1/3 + 2/3 · 1/2, and AUC (1 + 3/4 + 3/4) / 3.
    assert attack.accuracy.mean == pytest.approx(2 / 3, abs=0.1)
    assert attack.auc == pytest.approx(5 / 6, abs=0.06)
    assert attack.success[attribute == 5].all()
    assert attack.majority == pytest.approx(1 / 3)
    assert not hasattr(forest, "estimators_")  # the attacker passed in stays untrained


def test_given_folds_are_those_that_are_attacked():
    # The attacker of each fold knows the other one only, where the sign means the opposite.
    attribute, folds = np.arange(200) % 2, np.repeat([0, 1], 100)
    rows = ((2 * attribute - 1) * np.where(folds, 1, -1))[:, None].astype(float)
    assert infer_attribute(rows, attribute, folds=folds).accuracy.mean == 0
    assert infer_attribute(rows, attribute).accuracy.mean > 0.3


def test_bad_arguments():
    x = np.random.default_rng(0).normal(size=(20, 2))
    with pytest.raises(ValueError, match="attribute is constant"):
        infer_attribute(x, np.zeros(20, int))
    with pytest.raises(ValueError, match=r"attribute has shape \(19,\)"):
        infer_attribute(x, np.arange(19) % 2)
    with pytest.raises(ValueError, match="needed are integers or booleans"):
        infer_attribute(x, x[:, 0])
    with pytest.raises(ValueError, match="class of 3 examples; num_folds=5"):
        infer_attribute(x, np.arange(20) < 3)
