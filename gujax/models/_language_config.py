"""What a decoder-only language model is made of, whatever file it came from."""

from dataclasses import dataclass
from typing import Literal

from jaxtyping import Array

from gujax.validation import check_count, check_positive

Family = Literal["llama", "gpt2", "gpt_neox"]
FAMILIES = ("llama", "gpt2", "gpt_neox")


@dataclass(frozen=True)
class LanguageConfig:
    """The shape of a language model.

    Attributes:
        family: ``"llama"`` (Llama, SmolLM2, Qwen2: RMS norms, rotary positions, gated feed-forward
            networks), ``"gpt2"`` (layer norms, learned positions) or ``"gpt_neox"`` (layer norms,
            rotary positions).
        vocabulary: number of tokens V there are.
        context: most tokens T that one text may have.
        width: width of the residual stream.
        layers: number of blocks.
        heads: heads of queries per block.
        key_heads: heads of keys and values per block, each shared by ``heads / key_heads`` heads
            of queries.
        hidden: width inside of the feed-forward networks.
        head_size: width of a head.
        epsilon: what norms add to the mean square.
        rope_theta: base of the rotary frequencies; unused by ``"gpt2"``.
        rope_share: share of a head that is rotated; below 1 for ``"gpt_neox"`` only.
        tied: whether the output layer is the token embedding.
        qkv_bias: whether queries, keys and values of ``"llama"`` have biases, as in Qwen2.
        parallel: whether attention and feed-forward network of ``"gpt_neox"`` read the same input.
    """

    family: Family
    vocabulary: int
    context: int
    width: int
    layers: int
    heads: int
    key_heads: int
    hidden: int
    head_size: int
    epsilon: float = 1e-5
    rope_theta: float = 10000.0
    rope_share: float = 1.0
    tied: bool = True
    qkv_bias: bool = False
    parallel: bool = True

    def __post_init__(self) -> None:
        """Check the sizes.

        Raises:
            ValueError: if the family is unknown, a size is not positive, or heads do not fit.
        """
        if self.family not in FAMILIES:
            raise ValueError(f"family={self.family!r}; choose from {', '.join(FAMILIES)}")
        for name in ("vocabulary", "context", "width", "layers", "heads", "key_heads", "hidden"):
            check_count(name, getattr(self, name))
        check_count("head_size", self.head_size)
        check_positive("epsilon", self.epsilon)
        check_positive("rope_theta", self.rope_theta)
        if self.heads % self.key_heads:
            raise ValueError(f"heads={self.heads} must be a multiple of key_heads={self.key_heads}")
        if self.family != "llama" and (
            self.key_heads != self.heads or self.heads * self.head_size != self.width
        ):
            raise ValueError(
                f"heads={self.heads} of head_size={self.head_size} do not make up "
                f"width={self.width}, as those of {self.family!r} must; only 'llama' shares heads"
            )
        if self.family != "gpt_neox" and self.rope_share != 1:
            raise ValueError(
                f"rope_share={self.rope_share} must be 1: heads of {self.family!r} are rotated "
                "whole"
            )
        rotated = self.rope_share * self.head_size
        if self.family != "gpt2" and (not 0 < self.rope_share <= 1 or rotated % 2):
            raise ValueError(
                f"rope_share={self.rope_share} of head_size={self.head_size} must be an even "
                "number of entries, at most all"
            )


def check_length(tokens: Array, context: int) -> None:
    """Check that texts fit into the context.

    Raises:
        ValueError: if they are longer.
    """
    if tokens.shape[-1] > context:
        raise ValueError(
            f"tokens has {tokens.shape[-1]} per text, the model's context is {context}; cut or "
            "split the texts"
        )
