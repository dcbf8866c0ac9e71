"""One training loop, for one model or for many at once."""

from gujax._extras import extra

with extra("models"):
    from gujax.training.augmentation import ShiftAndFlip, augmented_loss
    from gujax.training.averaging import AverageState, average_parameters, released_params
    from gujax.training.batches import BatchPlan, plan_batches
    from gujax.training.checkpoints import checkpointing
    from gujax.training.exposure import ExposureWatch
    from gujax.training.loop import train, train_many
    from gujax.training.loss import accuracy, batch_gradient, cross_entropy_loss, predict
    from gujax.training.members import random_halves
    from gujax.training.result import EpochMetrics, StepMetrics, TrainResult, aggregation_state

__all__ = [
    "AverageState",
    "BatchPlan",
    "EpochMetrics",
    "ExposureWatch",
    "ShiftAndFlip",
    "StepMetrics",
    "TrainResult",
    "accuracy",
    "aggregation_state",
    "augmented_loss",
    "average_parameters",
    "batch_gradient",
    "checkpointing",
    "cross_entropy_loss",
    "plan_batches",
    "predict",
    "random_halves",
    "released_params",
    "train",
    "train_many",
]
