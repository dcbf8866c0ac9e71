import numpy as np
import pytest
from scipy.stats import norm

from gujax.attacks.membership import auc_of_examples
from tests.attacks.test_lira import gaussian_world, halves


def test_agrees_with_leaving_out_pair_by_pair():
    rng = np.random.default_rng(0)
    members = halves(rng, 6, 4)
    phi = np.round(rng.normal(size=members.shape), 1)  # with ties
    for n in range(4):
        told = []
        for i in np.flatnonzero(members[:, n]):
            for o in np.flatnonzero(~members[:, n]):
                others = ~np.isin(np.arange(6), (i, o))
                m_in = phi[others & members[:, n], n].mean()
                m_out = phi[others & ~members[:, n], n].mean()
                told.append((1 + np.sign(phi[i, n] - phi[o, n]) * np.sign(m_in - m_out)) / 2)
        assert auc_of_examples(phi, members)[n] == pytest.approx(np.mean(told))


@pytest.mark.parametrize("num_models", [6, 16])
def test_is_unbiased_where_there_is_nothing_to_find(num_models):
    phi, members = gaussian_world(num_models=num_models, num_examples=8000, shift=0.0)
    # The spread of one example's AUC is below 0.3: standard error 0.003.
    assert abs(auc_of_examples(phi, members).mean() - 0.5) < 0.012


def test_finds_the_auc_of_each_example():
    shift = np.repeat([1.0, 2.0, 3.0], 200)
    phi, members = gaussian_world(num_models=64, num_examples=600, shift=shift)
    found = auc_of_examples(phi, members).reshape(3, 200).mean(axis=1)
    np.testing.assert_allclose(found, norm.cdf(np.array([1, 2, 3]) / np.sqrt(2)), atol=0.012)


def test_too_few_models_on_a_side():
    members = np.array([[1, 1], [1, 0], [1, 0], [0, 1]], bool)
    found = auc_of_examples(np.random.default_rng(0).normal(size=(4, 2)), members)
    np.testing.assert_array_equal(np.isnan(found), [True, False])
    with pytest.raises(ValueError, match=r"phi has shape \(4, 2, 1\)"):
        auc_of_examples(np.zeros((4, 2, 1)), members)
