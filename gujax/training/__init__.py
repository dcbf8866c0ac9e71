"""One training loop, for one model or for many at once."""

from gujax._extras import extra

with extra("models"):
    from gujax.training._augmentation import ShiftAndFlip, augmented_loss
    from gujax.training._averaging import AverageState, average_parameters, released_params
    from gujax.training._batches import BatchPlan, plan_batches
    from gujax.training._checkpoints import checkpointing
    from gujax.training._exposure import ExposureWatch
    from gujax.training._loop import train, train_many
    from gujax.training._loss import (
        AnyArray,
        Apply,
        BatchGradient,
        GradientFn,
        LossFn,
        accuracy,
        batch_gradient,
        cross_entropy,
        cross_entropy_loss,
        predict,
    )
    from gujax.training._members import random_halves
    from gujax.training._result import EpochMetrics, StepMetrics, TrainResult, aggregation_state
    from gujax.training._texts import next_token_loss, text_split

__all__ = [
    "AnyArray",
    "Apply",
    "AverageState",
    "BatchGradient",
    "BatchPlan",
    "EpochMetrics",
    "ExposureWatch",
    "GradientFn",
    "LossFn",
    "ShiftAndFlip",
    "StepMetrics",
    "TrainResult",
    "accuracy",
    "aggregation_state",
    "augmented_loss",
    "average_parameters",
    "batch_gradient",
    "checkpointing",
    "cross_entropy",
    "cross_entropy_loss",
    "next_token_loss",
    "plan_batches",
    "predict",
    "random_halves",
    "released_params",
    "text_split",
    "train",
    "train_many",
]
