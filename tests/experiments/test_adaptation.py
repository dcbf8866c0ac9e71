"""What a recipe asks for beside numbers reaches the models that are attacked."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from experiments.framework.errors import UserError
from experiments.membership.defenses import Defense, prepare
from experiments.membership.runs import halves, run_seed
from experiments.tasks.adaptation import adapted
from experiments.tasks.recipe import Recipe
from experiments.tasks.task import load_task
from gujax import models, training

PLAIN = Recipe("momentum", 0.5, False, 10, 1)
AUGMENTED = replace(PLAIN, augmentation_multiplicity=2, shift=1, flip=True)
TASK = load_task("digits", "mlp", (), train_size=40)


def test_a_recipe_without_practices_leaves_the_task_alone():
    assert adapted(TASK, PLAIN) == TASK


def test_a_recipe_chooses_model_and_loss():
    task = load_task("digits", "convnet", (), train_size=10, channels=(8,))
    standardized = adapted(task, replace(AUGMENTED, standardize_weights=True))
    assert standardized.model is models.standardized(task.model)
    loss = training.cross_entropy_loss(standardized.model)
    copies = training.ShiftAndFlip(1, True)
    assert standardized.loss_fn is training.augmented_loss(loss, copies, 2)


def test_only_images_are_augmented():
    task = load_task("breast_cancer", "mlp", (8,), train_size=40)
    with pytest.raises(UserError, match=r"breast_cancer have shape \(30,\)"):
        adapted(task, AUGMENTED)


def test_the_average_is_attacked_and_copies_are_trained_on():
    members = halves(TASK, 4, seed=0)

    def run(recipe):
        ready = prepare(Defense("SGD", "sgd"), recipe, members, 0.1, measure=False)
        key = jax.random.key(0)
        return run_seed(TASK, recipe, ready, members, np.zeros_like(members), key)

    # Without its keys, the augmented loss could not even be called.
    last, average = (run(recipe) for recipe in (AUGMENTED, replace(AUGMENTED, average_decay=0.9)))
    np.testing.assert_array_equal(last.steps.loss, average.steps.loss)
    assert not np.array_equal(last.outputs.scores["loss"], average.outputs.scores["loss"])
    assert np.isnan(last.nats).all()
