"""The predicted cost of large models, against counts that others made."""

import jax
import jax.numpy as jnp
import pytest

from experiments.jobs.benchmark import scale
from gujax import models, training
from gujax.models import LanguageConfig
from tests.experiments.running import run_of, shows

run = run_of("benchmark --scale --smoke")
test_the_report_is_complete = shows("Predicted, not measured", "A smoke test", images=0)

SMALL = {
    "tied": LanguageConfig("llama", 500, 128, 64, 2, 4, 2, 160, 16),
    "untied": LanguageConfig("llama", 300, 256, 96, 3, 4, 4, 256, 24, tied=False),
}


@pytest.mark.parametrize("config", SMALL.values(), ids=SMALL)
def test_a_plain_step_has_the_operations_that_xla_counts(config):
    texts, tokens = 4, 65
    model = models.language_model(config)
    params = model.init(jax.random.key(0))
    loss_fn = training.next_token_loss(model.apply)

    def mean_loss(params, batch):
        return jax.vmap(loss_fn, (None, 0))(params, batch).mean()

    batch = (jnp.zeros((texts, tokens), int), jnp.full(texts, tokens))
    counted = jax.jit(jax.grad(mean_loss)).lower(params, batch).compile().cost_analysis()["flops"]
    # XLA also counts what is done element by element.
    assert scale.work_of(config, tokens, texts).plain_flops == pytest.approx(counted, rel=0.1)


@pytest.mark.parametrize("name", scale.MODELS)
def test_published_models_have_their_number_of_parameters(name):
    config = scale.MODELS[name]
    params = jax.eval_shape(models.language_model(config).init, jax.random.key(0))
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    published = {"SmolLM2-135M": 134515008, "Llama-3.2-1B": 1235814400, "Llama-3.1-8B": 8030261248}
    assert count == published[name]


def test_an_audit_of_long_texts_adds_the_products_of_their_gradients():
    """Of long texts every gradient is formed: what is added are B² inner products of N numbers."""
    work = scale.work_of(SMALL["untied"], 129, 2)
    embedding = 300 * 96  # looked up: it has another way
    assert work.audit_flops == pytest.approx(2 * 2**2 * (work.parameters - embedding), rel=0.2)


def test_more_devices_take_less_of_each():
    work = scale.Work(10**9, 1e16, 1e14, 1e11, 1e10, 1e10)
    for of in (scale.seconds, scale.memory):
        (plain, audited), (shared, shared_audited) = of(work, 1), of(work, 8)
        assert shared < plain < audited
        assert shared < shared_audited < audited
