"""The task as a recipe trains it: its loss and its model."""

from dataclasses import replace

from experiments.framework.errors import check_option
from experiments.tasks.recipe import Recipe
from experiments.tasks.task import Task
from gujax import models, training


def adapted(task: Task, recipe: Recipe) -> Task:
    """The task with the model and the loss that a recipe asks for.

    If the recipe augments, the loss takes an example with a PRNG key, (x, y, key), so train with
    ``randomized=recipe.augments``.

    Raises:
        UserError: The recipe augments examples that are no images.
    """
    model, loss_fn = task.model, task.loss_fn
    if recipe.standardize_weights:
        model = models.standardized(model)
        loss_fn = training.cross_entropy_loss(model)
    if recipe.augments:
        shape = task.dataset.feature_shape
        check_option(
            len(shape) == 3,
            f"the recipe shifts or flips images, but the examples of {task.dataset.name} have "
            f"shape {shape}; give other --recipes",
        )
        augment = training.ShiftAndFlip(recipe.shift, recipe.flip)
        loss_fn = training.augmented_loss(loss_fn, augment, recipe.augmentation_multiplicity)
    return replace(task, model=model, loss_fn=loss_fn)
