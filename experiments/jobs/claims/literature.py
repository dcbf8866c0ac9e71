"""Claims of the papers that no job can test at the scale of one machine, and why."""

from experiments.framework.claims import test

_GNQ = "GNQ v2 (arXiv 2510.10902)"

# Key, statement, source, and why it is not tested.
_CLAIMS = (
    (
        "counterfactual",
        "GNQ agrees with counterfactual memorization",
        _GNQ,
        "needs many language models trained without each text",
    ),
    (
        "gpt2_cost",
        "GNQ in the run costs 1.12 times a plain step on GPT-2 with 124 million parameters",
        _GNQ,
        "needs an accelerator, on which `benchmark --models gpt2` times it",
    ),
    (
        "text_models",
        "GNQ predicts membership inference on BERT and IMDB",
        "GNQ v1 (arXiv 2510.10902)",
        "needs a pretrained BERT",
    ),
)
OUT_OF_REACH = tuple(test(*claim, effects=()) for claim in _CLAIMS)
