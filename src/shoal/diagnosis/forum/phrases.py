"""Phrases of a forum in two passes: a count in shared counters finds the candidates, exact codes tell them apart.

Texts become arrays of word numbers; a phrase is a 64-bit mix of the numbers of its words. A million texts of a dozen
words are searched for phrases of three lengths in seconds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.diagnosis.forum.cascades import Cascades, cascades_of
from shoal.diagnosis.forum.log import ForumLog
from shoal.diagnosis.forum.tokens import Tokens

LEAST_CHARACTERS = 10
BUCKETS = 2**24
"""Counters of the first pass; phrases that share one are told apart in the second."""
_ODD = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xBF58476D1CE4E5B9)


def phrases(log: ForumLog, words: tuple[int, int], adopters: int, most: int, distinct: bool) -> Cascades:
    """See ``cascades.memes``."""
    frame = log.contributions
    tokens = log.tokens
    agent = frame.get_column("agent").to_numpy()
    code, place = _candidates(tokens, words, adopters)
    author = agent[tokens.text[place]].astype(np.int64)
    order = np.lexsort((place, author, code))
    code, place, author = code[order], place[order], author[order]
    first = np.r_[True, (code[1:] != code[:-1]) | (author[1:] != author[:-1])] if len(code) else np.zeros(0, bool)
    code, place, author = code[first], place[first], author[first]
    phrase, number, size = np.unique(code, return_inverse=True, return_counts=True)
    long = (phrase & np.uint64(15)).astype(int)
    kept = np.flatnonzero(size >= adopters)
    if distinct:
        text = tokens.text[place].astype(np.uint64)
        mark = np.zeros(len(phrase), np.uint64)
        np.add.at(mark, number, _mixed(text * _ODD + author.astype(np.uint64)))
        ranked = kept[np.lexsort((-long[kept], mark[kept]))]
        same = np.r_[False, mark[ranked][1:] == mark[ranked][:-1]] if len(ranked) else np.zeros(0, bool)
        kept = ranked[~same]
    kept = kept[np.lexsort((phrase[kept], -size[kept]))][:most]
    rank = np.full(len(phrase), -1)
    rank[kept] = np.arange(len(kept))
    rows = rank[number] >= 0
    time = frame.get_column("time").to_numpy()[tokens.text[place[rows]]]
    starts = np.zeros(len(phrase), np.int64)
    starts[number[::-1]] = place[::-1]
    names = tuple(" ".join(tokens.names[w] for w in tokens.word[starts[i] : starts[i] + long[i]]) for i in kept)
    return cascades_of(rank[number[rows]], author[rows], time, names, ("meme",) * len(kept))


def _candidates(tokens: Tokens, words: tuple[int, int], adopters: int) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Codes and places of the phrases that may have enough adopters; the last four bits of a code are its length."""
    codes, places = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)]
    number = _mixed(tokens.word.astype(np.uint64) + np.uint64(1))
    stop = np.r_[0, np.cumsum(tokens.stop[tokens.word])] if len(tokens.word) else np.zeros(1, int)
    letters = np.r_[0, np.cumsum(tokens.letters[tokens.word].astype(np.int64))]
    for length in range(words[0], words[1] + 1):
        last = len(tokens.word) - length + 1
        if last <= 0:
            break
        code = number[:last].copy()
        for k in range(1, length):
            code = _mixed(code * _ODD + number[k : last + k])
        counter = (code & np.uint64(BUCKETS - 1)).astype(np.int32)
        fine = np.bincount(counter, minlength=BUCKETS)[counter] >= adopters
        place = np.flatnonzero(fine)
        place = place[tokens.text[place] == tokens.text[place + length - 1]]
        place = place[(stop[place + length] - stop[place]) * 2 <= length]
        place = place[letters[place + length] - letters[place] + length - 1 >= LEAST_CHARACTERS]
        codes.append((code[place] & ~np.uint64(15)) | np.uint64(length))
        places.append(place)
    return np.concatenate(codes), np.concatenate(places)


def _mixed(x: Any) -> NDArray[np.uint64]:
    """A 64-bit mix, so that equal inputs give equal outputs and others hardly ever do."""
    x = (x ^ (x >> np.uint64(31))) * _MIX
    return np.asarray(x ^ (x >> np.uint64(29)), np.uint64)
