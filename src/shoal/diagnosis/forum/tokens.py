"""Texts as arrays of word numbers, so that a million of them can be searched and counted at once."""

from __future__ import annotations

import numpy as np
import polars as pl

STOP_WORDS = (
    "a about after all also am an and any are as at be because been but by can could did do does for from had has have "
    "he her him his how i if in into is it its just like me more my no not now of on one only or other our out over "
    "she so some than that the their them then there these they this to up us was we were what when which who why "
    "will with would you your"
)
UNSPOKEN = r"(?s)```.*?```|https?://\S+"
"""Code and addresses: no phrases."""


class Tokens:
    """All texts as one array of word numbers, in the order of time.

    Attributes:
        word: numbers [tokens].
        text: number of the text of each token [tokens], ascending.
        names: the words.
    """

    def __init__(self, texts: pl.Series) -> None:
        texts = pl.select(
            pl.when(texts.str.contains("```|://")).then(texts.str.replace_all(UNSPOKEN, " ")).otherwise(texts)
        ).to_series()
        lists = texts.str.to_lowercase().str.extract_all(r"[\p{L}\p{N}'_]+")
        self.text = np.repeat(np.arange(len(texts)), lists.list.len().to_numpy()).astype(np.int32)
        flat = lists.explode(empty_as_null=False, keep_nulls=False)
        names = flat.unique(maintain_order=True)
        self.word = flat.cast(pl.Enum(names)).to_physical().to_numpy().astype(np.int32)
        self.names: list[str] = names.to_list()
        self.stop = names.is_in(STOP_WORDS.split()).to_numpy()
        self.letters = names.str.len_chars().to_numpy().astype(np.int16)
