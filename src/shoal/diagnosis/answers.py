"""Answers and stated values in free text, for diagnoses that know nothing of the task."""

from __future__ import annotations

import re
from dataclasses import dataclass

_ANSWER = re.compile(
    r"(?:\bfinal\s+answer|\banswer|\bconclusion|\bresult)\s*(?:is|=|:)+\s*\**\s*([^\n;]{1,120}?)(?=\.(?:\s|$)|[;\n]|$)|\\boxed\{([^{}]{1,100})\}",
    re.IGNORECASE,
)
NUMBER = re.compile(r"(?<![\w.])[-+]?\$?\d[\d,]*(?:\.\d+)?%?(?!\w*\d)")
_WORD = re.compile(r"[A-Za-z][A-Za-z'\-]+")
_RELATIONS = ("by", "than", "from", "to", "per", "over", "under", "of")
_UNIT = re.compile(r"\s?([A-Za-z]+)")
_STOP = frozenset(
    """a an the of to in on at by for and or but is are was were be been it its this that these those with as from
    into about than then so we i you he she they our my your their has have had do does did will would can
    could should may might not no yes there here which who what when where how if also just only very more
    most less least all each every any some one two says said say gives gave given equals equal makes answer""".split()  # noqa: SIM905
)


@dataclass(frozen=True, slots=True)
class Value:
    """A number with what it is about.

    Attributes:
        about: the content word before it and the unit or noun after it; the two words before it where none follows.
        number: in plain digits.
        start: where it stands in the text.
    """

    about: tuple[str, ...]
    number: str
    start: int


def answer_in(text: str) -> str | None:
    """The last answer that a text states ("Answer: 7", "the final answer is X", a box), cut at the end of sentence."""
    found = None
    for match in _ANSWER.finditer(text):
        found = match[1] if match[1] is not None else match[2]
    if found is None:
        return None
    return found.strip().strip("*`\"' ") or None


def values(text: str) -> list[Value]:
    """The numbers of a text with the words around them; numbers without any such words are left out."""
    found = []
    for match in NUMBER.finditer(text):
        before = [w.lower() for w in _WORD.findall(text[max(0, match.start() - 80) : match.start()].split("\n")[-1])]
        unit = _UNIT.match(text, match.end())
        after = unit[1].lower() if unit and unit[1].lower() not in _STOP else ""
        close = [w for w in before if w not in _STOP]
        last = before[-1] if before else ""
        if last in _RELATIONS:
            close.append(last)  # "longer than X by 5 km" says nothing about the length of X
        # With a unit behind the number one word before it is enough to know what is meant; else it takes two.
        about = (*close[-2 if last in _RELATIONS else -1 :], "|", after) if after else (*close[-2:], "|")
        if close and (after or len(close) > 1):
            found.append(Value(about, plain_number(match.group()), match.start()))
    return found


def plain_number(text: str) -> str:
    """A number without separators, currency, sign of plus and trailing zeros."""
    text = text.replace(",", "").replace("$", "").lstrip("+")
    if "." in text and not text.endswith("%"):
        text = text.rstrip("0").rstrip(".")
    return text
