import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gujax.attacks.membership import log_confidence, loss_threshold, scaled_confidence

LOGITS = hnp.arrays(
    np.float64,
    st.tuples(st.integers(1, 3), st.just(4), st.integers(2, 5)),
    elements=st.floats(-8, 8),
)


def probability(logits, y):
    """Probability of the true class, as the textbook has it."""
    p = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    return np.take_along_axis(p, np.broadcast_to(y[:, None], (*p.shape[:-1], 1)), -1)[..., 0]


@given(LOGITS)
def test_definitions(logits):
    y = np.array([0, 1, 0, logits.shape[-1] - 1])
    p = probability(logits, y)
    np.testing.assert_allclose(np.exp(log_confidence(logits, y)), p, rtol=1e-9)
    # 1 − p loses digits where p is close to 1: 8 + log 4 nats at most, so 1e-16 becomes 1e-9.
    np.testing.assert_allclose(scaled_confidence(logits, y), np.log(p / (1 - p)), atol=1e-7)
    np.testing.assert_allclose(loss_threshold(logits, y), np.log(p), atol=1e-9)


def test_confident_predictions_stay_finite_and_in_order():
    logits = np.zeros((6, 3))
    logits[:, 0] = [-2000, -50, 0, 50, 100, 2000]
    y = np.zeros(6, int)
    phi = scaled_confidence(logits, y)
    np.testing.assert_allclose(phi, logits[:, 0] - np.log(2), atol=1e-12)
    score = loss_threshold(logits, y)
    assert np.isfinite(score).all()
    assert (np.diff(score) >= 0).all()
    assert (np.diff(score[:5]) > 0).all()  # exp(-100) is a positive number, exp(-2000) is not


def test_single_precision_logits_are_computed_in_double():
    logits = np.array([[30.0, 0.0]], np.float32)
    assert scaled_confidence(logits, np.array([0]))[0] == pytest.approx(30.0, abs=1e-12)
