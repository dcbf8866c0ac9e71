"""Options of the job `benchmark`."""

from experiments.framework.errors import check_option
from experiments.framework.options import Count, Positive, RunOptions, options
from experiments.jobs.benchmark.cases import Family


@options
class Options(RunOptions):
    """Measure what steps cost, side by side in one process.

    The plain step, the steps of gujax, vmap(grad), jax_privacy's clipped_grad, optax's
    differentially_private_aggregate and, where the `bench` extra is installed, Opacus. Every method
    must also compute the same: the exit code is 3 if one does not.

    Attributes:
        models: Which models; default: all but "smollm2" (SmolLM2-135M), "gpt2" (GPT-2-small shapes)
            only on a GPU.
        inversion: Measure an iteration of Inverting Gradients instead, beside PyTorch; needs the
            `bench` extra.
        assessment: Measure `gujax.assess` instead, beside the trainings of a model and its rerun;
            of the models mlp and cnn, on data sets that the folder of TFDS must hold.
        scale: Predict instead what steps of language models of 135M to 8B parameters would take on
            H100s, from shapes alone.
        growth: Also measure how cost grows with batch size, sequence length, width and depth.
        seconds: Time for each method and model; a method whose step takes longer is run once.
        rounds: Largest number of samples of each method.
        memory_gib: Skip what needs more; default: 3, on a GPU what it has.
        smoke: Tiny models, to see that all of it works; the times mean nothing.
    """

    models: tuple[Family, ...] | None = None
    inversion: bool = False
    assessment: bool = False
    scale: bool = False
    growth: bool = True
    seconds: Positive = 3.0
    rounds: Count = 15
    memory_gib: Positive | None = None
    smoke: bool = False

    def __post_init__(self) -> None:
        check_option(
            self.inversion + self.assessment + self.scale <= 1,
            "give one of --inversion, --assessment and --scale, not several",
        )
