"""Attacks on language models, from the probabilities of tokens."""

import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax

from gujax import models, training
from gujax.attacks import texts as attacks
from gujax.data import Tokens

CONFIG = models.LanguageConfig("llama", 11, 24, 8, 1, 2, 1, 12, 4)
LENGTHS = np.array([20, 7, 3, 17], np.int32)


@pytest.fixture(scope="module")
def model():
    return models.language_model(CONFIG)


@pytest.fixture(scope="module")
def params(model):
    return jax.tree.map(lambda leaf: 8 * leaf, model.init(jax.random.key(0)))


@pytest.fixture(scope="module")
def texts(model, params):
    """Three random texts; the last is what the model itself says after its first three tokens."""
    tokens = np.random.default_rng(0).integers(0, 11, (4, 20)).astype(np.int32)
    tokens[3, :17] = models.generate(model, params, tokens[3, :3], 14)
    return Tokens(np.where(np.arange(20) < LENGTHS[:, None], tokens, 0), LENGTHS)


@pytest.fixture(scope="module")
def scores(model, params, texts):
    return attacks.score_tokens(model.apply, params, texts, batch_size=3)


def table(model, params, texts, i):
    """Log-probabilities at the places of text i, by SciPy in float64."""
    text = texts.tokens[i, : LENGTHS[i]]
    return log_softmax(np.asarray(model.apply(params, text), np.float64)[:-1], axis=-1), text[1:]


@pytest.mark.parametrize("i", range(4))
def test_scores_of_tokens(model, params, texts, scores, i):
    log_p, following = table(model, params, texts, i)
    n = len(following)
    p = np.exp(log_p)
    mean = (p * log_p).sum(axis=1)
    expected = {
        "log_probs": log_p[np.arange(n), following],
        "means": mean,
        "deviations": np.sqrt((p * (log_p - mean[:, None]) ** 2).sum(axis=1)),
        "likeliest": log_p.argmax(axis=1) == following,
    }
    for name, values in expected.items():
        found = getattr(scores, name)[i]
        np.testing.assert_allclose(found[:n], values, rtol=1e-4, atol=1e-4)
        assert not found[n:].any()
    assert scores.counted[i].sum() == n


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_loss_is_that_of_the_scores(model, params, texts, scores, reduction):
    loss_fn = training.next_token_loss(model.apply, reduction)
    split = training.text_split(texts)
    losses = jax.vmap(loss_fn, (None, 0))(params, (jnp.asarray(split.x), jnp.asarray(split.y)))
    expected = scores.losses * (LENGTHS - 1 if reduction == "sum" else 1)
    np.testing.assert_allclose(losses, expected, rtol=1e-4)


def test_greedy_extraction_is_what_generation_gives(model, params, texts, scores):
    found = attacks.extract(scores, prefix=3)
    for i in range(4):
        rest = LENGTHS[i] - 3
        assert found.suffix[i] == max(rest, 0)
        if rest > 0:
            said = models.generate(model, params, texts.tokens[i, :3], int(rest))
            assert found.greedy[i] == (said == texts.tokens[i, : LENGTHS[i]]).all()
    assert found.greedy.tolist() == [False, False, False, True]


def test_probabilistic_extraction_counts_draws(model, params, texts, scores):
    found = attacks.extract(scores, prefix=5)
    log_p, following = table(model, params, texts, 1)
    q = np.exp(log_p[np.arange(4, 6), following[4:]].sum())
    np.testing.assert_allclose(found.log_probability[1], np.log(q), rtol=1e-4)
    needed = int(np.ceil(np.log(0.5) / np.log1p(-q)))
    assert found.within(needed)[1]
    assert not found.within(needed - 1)[1]
    drawn = np.random.default_rng(0).binomial(needed, q, 4000) > 0
    assert abs(drawn.mean() - 0.5) < 0.05  # 6 standard errors
    assert not found.within(10**9)[2]  # shorter than what is known of it


def test_membership_scores(model, params, texts, scores):
    words = ["a text", "another text, longer", "b", "a text of many words, of many words"]
    base = jax.tree.map(lambda leaf: leaf / 2, params)
    reference = attacks.score_tokens(model.apply, base, texts)
    found = attacks.membership_scores(scores, words, reference, share=0.25)
    assert found.keys() == attacks.MEMBERSHIP_SCORES.keys()
    for i, text in enumerate(words):
        log_p, following = table(model, params, texts, i)
        n = len(following)
        picked = log_p[np.arange(n), following]
        p = np.exp(log_p)
        mean = (p * log_p).sum(axis=1)
        normal = (picked - mean) / np.sqrt((p * (log_p - mean[:, None]) ** 2).sum(axis=1))
        lowest = np.sort(normal)[: max(1, round(0.25 * n))].mean()
        before, _ = table(model, base, texts, i)
        expected = {
            "loss": picked.mean(),
            "zlib": picked.sum() / len(zlib.compress(text.encode())),
            "min_k": lowest,
            "reference": picked.mean() - before[np.arange(n), following].mean(),
        }
        for name, value in expected.items():
            np.testing.assert_allclose(found[name][i], value, rtol=1e-3, atol=1e-4)


def test_what_is_wrong_is_said(scores):
    with pytest.raises(ValueError, match="prefix=30: no text has more tokens"):
        attacks.extract(scores, prefix=30)
    with pytest.raises(ValueError, match="texts has 1 entries, scores 4"):
        attacks.membership_scores(scores, ["a"], scores)
    with pytest.raises(ValueError, match="share"):
        attacks.membership_scores(scores, list("abcd"), scores, share=2.0)
    with pytest.raises(ValueError, match="reduction='none'"):
        training.next_token_loss(lambda *_: None, "none")
