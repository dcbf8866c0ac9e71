import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gujax.attacks.membership._shadows import leave_one_out


@given(st.integers(3, 7), st.integers(1, 4), st.integers(0, 99), st.sampled_from([(), (2,)]))
@settings(max_examples=40, deadline=None)
def test_agrees_with_leaving_out_one_by_one(num_models, num_examples, seed, augmentations):
    rng = np.random.default_rng(seed)
    signal = 1e3 + rng.normal(size=(num_models, num_examples, *augmentations))
    selected = rng.random((num_models, num_examples)) < 0.6
    statistics = leave_one_out(signal, selected)
    for m in range(num_models):
        for n in range(num_examples):
            others = [k for k in range(num_models) if k != m and selected[k, n]]
            assert statistics.num_models[m, n] == len(others)
            if not others:
                assert np.isnan(statistics.mean[m, n]).all()
                continue
            values = signal[others, n]
            # Centering at about 1e3 leaves 1e-13 of rounding in float64.
            np.testing.assert_allclose(statistics.mean[m, n], values.mean(axis=0), rtol=1e-12)
            if len(others) < 2:
                assert np.isnan(statistics.variance[m, n]).all()
                continue
            variance = values.var(axis=0, ddof=1)
            np.testing.assert_allclose(statistics.variance[m, n], variance, rtol=1e-7, atol=1e-12)
