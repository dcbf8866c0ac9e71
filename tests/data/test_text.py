import json
from types import SimpleNamespace

import numpy as np
import pytest

from gujax import data
from tests.data import builders
from tests.data.prepared import prepared_folder


class Letters:
    """One token per letter, a = 1."""

    def encode(self, text):
        return SimpleNamespace(ids=[ord(letter) - 96 for letter in text])


def test_files(tmp_path):
    lines = tmp_path / "lines.txt"
    lines.write_text("one \ntwo\nthree\n")
    assert data.load_texts(str(lines)) == ("one", "two", "three")
    assert data.load_texts(str(lines), num_texts=2) == ("one", "two")
    objects = tmp_path / "objects.jsonl"
    objects.write_text("".join(json.dumps({"text": t, "title": t.upper()}) + "\n" for t in "ab"))
    assert data.load_texts(str(objects)) == ("a", "b")
    assert data.load_texts(str(objects), feature="title") == ("A", "B")


def test_lines_are_what_ends_with_a_newline(tmp_path):
    """Not every sign at which str.splitlines cuts, nor a mark of the order of bytes."""
    lines = tmp_path / "lines.txt"
    lines.write_bytes("\ufeffone\x85a\r\ntwo\u2028b\n".encode())
    assert data.load_texts(str(lines)) == ("one\x85a", "two\u2028b")
    objects = tmp_path / "objects.jsonl"
    objects.write_bytes('\ufeff{"text": "a\u2028b"}\n'.encode())
    assert data.load_texts(str(objects)) == ("a\u2028b",)


def test_a_text_feature_of_a_known_set(tmp_path, monkeypatch):
    assert builders.KnownText.name == "known_text"  # registers it
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    assert data.load_texts("known_text", num_texts=3) == ("t",) * 3
    with pytest.raises(ValueError, match="has no text feature 'kind'; its text features are title"):
        data.load_texts("known_text", feature="kind")


def test_news(monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(prepared_folder("ag_news7600")))
    texts = data.load_texts("ag_news7600", feature="description", num_texts=3)
    assert len(texts) == 3
    assert all(len(text) > 20 for text in texts)
    with pytest.raises(ValueError, match="needs a name of one; its text features are "):
        data.load_texts("ag_news7600")


def test_tokens_are_padded_and_counted():
    texts = data.tokenize(["abc", "de"], Letters(), 5)
    np.testing.assert_array_equal(texts.tokens, [[1, 2, 3], [4, 5, 0]])
    np.testing.assert_array_equal(texts.lengths, [3, 2])
    np.testing.assert_array_equal(texts.mask, [[True, True, True], [True, True, False]])
    assert data.tokenize(["abcdef"], Letters(), 5, cut_to=4).tokens.tolist() == [[1, 2, 3, 4]]


def test_buckets_hold_every_text_once():
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcdef"), size)) for size in rng.integers(2, 40, 50)]
    texts = data.tokenize(words, Letters(), 64)
    buckets = data.bucket_by_length(texts, 8)
    assert len(buckets) > 2
    assert sorted(np.concatenate([b.positions for b in buckets])) == list(range(50))
    for bucket in buckets:
        width = bucket.texts.tokens.shape[1]
        assert width % 8 == 0 or width == texts.lengths.max()
        assert (bucket.texts.lengths > width - 8).all()
        for position, row, length in zip(
            bucket.positions, bucket.texts.tokens, bucket.texts.lengths
        ):
            assert "".join(chr(96 + token) for token in row[:length]) == words[position]
            assert not row[length:].any()


def test_wrong_files(tmp_path):
    with pytest.raises(ValueError, match="cannot be read"):
        data.load_texts(str(tmp_path / "none.txt"))
    file = tmp_path / "texts.txt"
    file.write_text("one\n\nthree\n")
    with pytest.raises(ValueError, match=r"text 2 of .* is empty"):
        data.load_texts(str(file))
    with pytest.raises(ValueError, match="has no splits"):
        data.load_texts(str(file), split="test")
    with pytest.raises(ValueError, match=r"num_texts=9 but .* has 3 texts"):
        data.load_texts(str(file), num_texts=9)
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="not text in UTF-8"):
        data.load_texts(str(file))
    objects = tmp_path / "texts.jsonl"
    objects.write_text('{"text": "a"}\n{"other": "b"}\n')
    with pytest.raises(ValueError, match=r"line 2 of .* is no JSON object with an entry 'text'"):
        data.load_texts(str(objects))
    objects.write_text('{"text": 3}\n')
    with pytest.raises(ValueError, match="is no text"):
        data.load_texts(str(objects))


@pytest.mark.parametrize(
    ("texts", "arguments", "message"),
    [
        (["abc", "abcdef"], {}, "text 2 .'abcdef'. has 6 tokens, the model's context is 5"),
        (["a"], {}, "has 1 tokens; a text needs two"),
        ([], {}, "texts is empty"),
        (["abc"], {"cut_to": 6}, "cut_to=6 must be between 2 and the model's context, 5"),
    ],
)
def test_wrong_texts(texts, arguments, message):
    with pytest.raises(ValueError, match=message):
        data.tokenize(texts, Letters(), 5, **arguments)
