"""Texts: of tensorflow-datasets and of plain files, and their tokens."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from jaxtyping import Bool, Int

from gujax.validation import check_count


class Tokenizer(Protocol):
    """What texts are cut with; `tokenizers.Tokenizer` is one."""

    def encode(self, sequence: str, /) -> Any:
        """The tokens of a text, as ``.ids``."""


@dataclass(frozen=True, eq=False)
class Tokens:
    """Texts as numbers, padded at the end with 0.

    Attributes:
        tokens: [N, T], int32.
        lengths: how many tokens of each text count, [N], int32.
    """

    tokens: Int[np.ndarray, "texts t"]
    lengths: Int[np.ndarray, " texts"]

    def __len__(self) -> int:
        """Number of texts N."""
        return len(self.lengths)

    @property
    def mask(self) -> Bool[np.ndarray, "texts t"]:
        """False for padding, [N, T]."""
        return np.arange(self.tokens.shape[1]) < self.lengths[:, None]


@dataclass(frozen=True, eq=False)
class Bucket:
    """Texts of like lengths, padded to the same.

    Attributes:
        positions: where they stand among all texts, [n].
        texts: their tokens, [n, T].
    """

    positions: Int[np.ndarray, " texts"]
    texts: Tokens


def load_texts(
    source: str,
    *,
    split: str = "train",
    feature: str | None = None,
    num_texts: int | None = None,
) -> tuple[str, ...]:
    """Texts of a data set or of a file.

    Args:
        source: a name of ``tensorflow_datasets``; or a file ending in ``.txt``, one text per line,
            or ``.jsonl``, one JSON object per line.
        split: split expression of a data set; a file has only ``"train"``.
        feature: which feature, or which entry of the objects, holds the text. If None, a data set's
            only text feature, and ``"text"`` of objects.
        num_texts: read only the first so many; all if None.

    Returns:
        The texts, without spaces at their ends.

    Raises:
        ValueError: if they cannot be read, there are not so many, or one is empty.
    """
    if num_texts is not None:
        check_count("num_texts", num_texts)
    path = Path(source)
    if path.suffix in (".txt", ".jsonl"):
        if split != "train":
            raise ValueError(f"split={split!r}: the file {source} has no splits; leave 'train'")
        texts = _of_file(path, feature or "text")
    else:
        from gujax.data import _tfds as tfds  # takes a second to import

        texts = tfds.load_texts(source, split, feature, num_texts)
    texts = [text.strip() for text in texts[:num_texts]]
    if num_texts is not None and len(texts) < num_texts:
        raise ValueError(f"num_texts={num_texts} but {source} has {len(texts)} texts in {split!r}")
    for number, text in enumerate(texts, 1):
        if not text:
            raise ValueError(f"text {number} of {source} is empty; leave it out")
    if not texts:
        raise ValueError(f"{source} has no texts in {split!r}")
    return tuple(texts)


def tokenize(
    texts: Sequence[str], tokenizer: Tokenizer, context: int, *, cut_to: int | None = None
) -> Tokens:
    """Texts as tokens.

    Args:
        texts: the texts, N.
        tokenizer: the model's own.
        context: most tokens that the model reads.
        cut_to: keep at most so many tokens of each text; without it, a text that is too long is an
            error.

    Returns:
        The tokens, padded to the longest text.

    Raises:
        ValueError: if there are no texts, one is longer than the context, or has fewer than two
            tokens (nothing is predicted then), or ``cut_to`` exceeds the context.
    """
    if cut_to is not None and not 2 <= cut_to <= context:
        raise ValueError(f"cut_to={cut_to} must be between 2 and the model's context, {context}")
    if not texts:
        raise ValueError("texts is empty; give at least one")
    rows = []
    for number, text in enumerate(texts, 1):
        ids = list(tokenizer.encode(text).ids)[:cut_to]
        shown = text if len(text) < 40 else f"{text[:37]}..."
        if len(ids) > context:
            raise ValueError(
                f"text {number} ({shown!r}) has {len(ids)} tokens, the model's context is "
                f"{context}; split it, or cut all texts with cut_to={context}"
            )
        if len(ids) < 2:
            raise ValueError(
                f"text {number} ({shown!r}) has {len(ids)} tokens; a text needs two at least, of "
                "which the second is predicted"
            )
        rows.append(ids)
    lengths = np.array([len(row) for row in rows], np.int32)
    tokens = np.zeros((len(rows), lengths.max()), np.int32)
    for row, ids in zip(tokens, rows):
        row[: len(ids)] = ids
    return Tokens(tokens, lengths)


def bucket_by_length(texts: Tokens, multiple: int = 16) -> list[Bucket]:
    """Texts in groups of like lengths, so that little is computed on padding.

    Args:
        texts: the texts.
        multiple: lengths are rounded up to a multiple of it, but not beyond the longest text: each
            gives one bucket, for which a program is compiled.

    Returns:
        Buckets from the shortest to the longest; every text is in one.

    Raises:
        ValueError: if ``multiple`` is not positive.
    """
    check_count("multiple", multiple)
    longest = texts.tokens.shape[1]
    rounded = np.minimum(-(-texts.lengths // multiple) * multiple, longest)
    buckets = []
    for width in np.unique(rounded):
        positions = np.flatnonzero(rounded == width)
        group = Tokens(texts.tokens[positions, :width], texts.lengths[positions])
        buckets.append(Bucket(positions, group))
    return buckets


def _of_file(path: Path, feature: str) -> list[str]:
    try:
        # Lines as files have them: str.splitlines would also cut at rarer signs inside of texts.
        lines = path.read_text(encoding="utf-8-sig").removesuffix("\n").split("\n")
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not text in UTF-8; convert it") from None
    if path.suffix == ".txt":
        return lines
    texts = []
    for number, line in enumerate(lines, 1):
        try:
            texts.append(json.loads(line)[feature])
        except (ValueError, TypeError, KeyError):
            raise ValueError(
                f"line {number} of {path} is no JSON object with an entry {feature!r}; name the "
                "entry that holds the text"
            ) from None
        if not isinstance(texts[-1], str):
            raise ValueError(f"line {number} of {path}: its entry {feature!r} is no text")
    return texts
