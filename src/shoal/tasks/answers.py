"""Final answers: how they are asked for, found in free text, compared and counted.

Two answers are the same exactly when their canonical forms are equal, so checking, comparing and voting can never
disagree with each other.
"""

from __future__ import annotations

import re
from fractions import Fraction

from shoal.tasks.problem import Question

_MARK = re.compile(
    r"^[ \t>*_#\-]*(?:(?:so|thus|my|the|final|correct|right)[ \t]+)*answers?\b[*_ \t]*[:=]|####|\\boxed[ \t]*\{",
    re.IGNORECASE | re.MULTILINE,
)
"""What announces a final answer: an "Answer:" that starts its line, "####", or a box."""
_PLACEHOLDER = re.compile(r"^.*<(?:number|label|answer|the words in order[^>\n]*)>.*$", re.IGNORECASE | re.MULTILINE)
_GSM8K_MARK = re.compile(r"^[ \t]*A:", re.MULTILINE)
_LOOSE_MARK = re.compile(r"\banswers?\b[^.\n:=]{0,60}?(?:\bis\b[ \t]*:?|[:=])", re.IGNORECASE)
"""What announces an answer inside a sentence; used only where no line does."""
_NUMBER = re.compile(
    r"(?<![\w.])(?P<sign>(?<![\d)])[-−+]?)[ ]?\$?[ ]?"
    r"(?P<digits>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)(?P<power>[eE][-+]?\d{1,3}\b)?"
    r"(?:[ ]?/[ ]?(?P<below>\d+)\b)?"
)
_NUMBER_WORDS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty",
)  # fmt: skip
_LONGEST_NUMBER = 60
_LONGEST_ANSWER = 2000
_MOST_MARKS = 50
"""Bounds in characters and places, so that a runaway reply costs no more to read than a long one."""
_BOOLEAN = re.compile(r"\b(true|false|yes|no)\b", re.IGNORECASE)
_SAID_BOOLEAN = re.compile(
    r"\b(true|false)\b|(?:^|[.:;!?,\n][* \t]{0,9})(yes|no)\b|\b(yes|no)\b(?=[* \t]{0,9}(?:[.,;!?\n]|$))", re.IGNORECASE
)
"""Outside an announced answer yes and no count only at the edges of a clause: "no idea" is no answer."""
_TRUE = ("true", "yes")
_EDGES = " \t\r\n*_`\"'.,;:!?“”‘’"
_BULLET = re.compile(r"^\s*(?:[-*•]|\(?\d{1,3}[.)])\s+")
_SEPARATORS = re.compile(r"[\s,;>→]+")


def instruction(question: Question) -> str:
    """One line that tells a model how to end its reply.

    The form stands in double quotes, which is how readers of a prompt tell it from an answer that somebody gave.
    """
    if question.kind == "number":
        return 'End with a line "Answer: <number>".'
    if question.kind == "choice":
        return f'End with a line "Answer: <label>", the label being one of {", ".join(question.options)}.'
    if question.kind == "boolean":
        yes, no = ("Yes", "No") if question.tags.get("form") == "yes-no" else ("True", "False")
        return f'End with a line "Answer: {yes}" or "Answer: {no}".'
    if question.kind == "words":
        return 'End with a line "Answer: <the words in order, separated by spaces>".'
    return 'End with a line "Answer: <answer>".'


def extract(question: Question, text: str) -> str | None:
    """The final answer in a free text, or None if there is none that can be read.

    The last line "Answer: X", "#### X" or box that can be read wins; then the last "the answer is X" inside a
    sentence; then, by kind: the last number, the last standalone option label, the last True/False/Yes/No, a last line
    that lists words of the question, or a reply that is one short line. An instruction that a model repeats is not
    read.
    """
    text = _PLACEHOLDER.sub("", text.replace(instruction(question), ""))
    if not text.strip():
        return None
    marks = [match.end() for match in _MARK.finditer(text)]
    if question.kind == "number":
        marks = sorted([*marks, *(match.end() for match in _GSM8K_MARK.finditer(text))])
    loose = [match.end() for match in _LOOSE_MARK.finditer(text)]
    for ends in (marks, loose):
        for end in reversed(ends[-_MOST_MARKS:]):
            found = _read(question, _fragment(text, end, lines=question.kind == "words"))
            if found is not None:
                return found
    return _fall_back(question, text)


def canonical(question: Question, answer: str) -> str:
    """The key by which votes for an answer are counted.

    Numbers lose currency, separators and trailing zeros and are rounded to six decimals; labels take the case of the
    question's options ("(a)" is "A"; an option's text is its label); yes is True; word lists are joined by single
    spaces in lower case. What does not fit the kind stands for itself, in lower case.
    """
    plain = " ".join(answer.split()).strip(_EDGES).casefold()
    if question.kind == "number":
        value = number(answer)
        return plain if value is None else _decimal(value)
    if question.kind == "choice":
        return _label(question, answer) or plain
    if question.kind == "boolean":
        truth = _BOOLEAN.fullmatch(plain.strip("() "))
        return plain if truth is None else str(truth[1].lower() in _TRUE)
    if question.kind == "words":
        return " ".join(_words(answer)).casefold()
    value = _whole_number(answer)
    return plain if value is None else _decimal(value)


def same_answer(question: Question, a: str, b: str) -> bool:
    """Whether two answers are the same under the rules of the question's kind."""
    return a == b or canonical(question, a) == canonical(question, b)


def number(text: str) -> Fraction | None:
    """The first number of a text, exactly; None if there is none.

    After an equals sign the last one is meant ("3 + 4 = 7" is 7). Understands "$1,000.50", "−3", "3/4", "2e3" and, if
    the text starts with one, number words up to twenty.
    """
    tail = text.rpartition("=")[2]
    for part in (tail, text) if tail != text else (text,):
        match = _NUMBER.search(part)
        if match is not None:
            return _value(match)
    first = re.match(r"\W*([a-z]+)", text.lower())
    if first is not None and first[1] in _NUMBER_WORDS:
        return Fraction(_NUMBER_WORDS.index(first[1]))
    return None


def option_texts(question: Question) -> dict[str, str]:
    """What each option label of a choice stands for, read from the lines "(A) text" of the question."""
    if not question.options:
        return {}
    labels = "|".join(re.escape(label) for label in sorted(question.options, key=len, reverse=True))
    rows = re.findall(rf"^\s*\(?({labels})[).:]\s+(\S.*?)\s*$", question.text, re.MULTILINE)
    return dict(rows)


def _fragment(text: str, start: int, lines: bool = False) -> str:
    """What follows a mark: the rest of its line, or the next line that is not blank (all up to a blank one)."""
    rest = text[start : start + _LONGEST_ANSWER]
    head, _, below = rest.partition("\n")
    if head.strip(" \t\r*_`"):
        return head.strip().lstrip("*_`").strip()
    block = re.split(r"\n\s*\n", below.strip(), maxsplit=1)[0]
    return block if lines else block.partition("\n")[0].strip()


def _read(question: Question, fragment: str) -> str | None:
    """The answer at the start of what follows a mark."""
    if not fragment or re.match(r"(?:not|unknown|unclear)\b", fragment, re.IGNORECASE):
        return None
    if question.kind == "number":
        value = number(fragment)
        return None if value is None else _decimal(value)
    if question.kind == "choice":
        return _label(question, fragment)
    if question.kind == "boolean":
        match = _BOOLEAN.search(fragment)
        return None if match is None else match[1].capitalize()
    if question.kind == "words":
        return " ".join(_words(fragment)) or None
    plain = _unboxed(fragment).strip(_EDGES)
    return plain if re.search(r"\w", plain) else None


def _fall_back(question: Question, text: str) -> str | None:
    if question.kind == "number":
        values = [value for match in _NUMBER.finditer(text) if (value := _value(match)) is not None]
        return _decimal(values[-1]) if values else None
    if question.kind == "choice":
        return _last_label(question, text)
    if question.kind == "boolean":
        said = [match[match.lastindex or 0] for match in _SAID_BOOLEAN.finditer(text)]
        return said[-1].capitalize() if said else None
    rows = [row.strip() for row in text.strip().splitlines() if row.strip()]
    if question.kind == "words":
        known = {word.casefold() for word in _words(question.text)}
        listed: list[str] = []
        for row in reversed(rows):  # a list may stand one word to a line
            if listed and not _BULLET.match(row):
                break
            listed = [*_words(row.rpartition(": ")[2]), *listed]
            if not _BULLET.match(row):
                break
        return " ".join(listed) if listed and all(word.casefold() in known for word in listed) else None
    short = len(rows) == 1 and len(rows[0].split()) <= 5 and _LOOSE_MARK.search(rows[0]) is None
    return rows[0].strip(_EDGES) if short and re.search(r"\w", rows[0]) else None


def _label(question: Question, fragment: str) -> str | None:
    """The option label that a short text names, in the question's spelling."""
    plain = _unboxed(fragment).strip(_EDGES + "()[]")
    for label in question.options:
        if plain.casefold() == label.casefold():
            return label
    for label, meaning in option_texts(question).items():
        if plain.casefold() == meaning.strip(_EDGES).casefold():
            return label
    for label in question.options:
        # A lower-case letter at the start may be an article; it counts only with a bracket or stop after it.
        if re.match(rf"[\W_]*{re.escape(label)}(?![\w'’])", fragment) or re.match(
            rf"\W*{re.escape(label)}[).:]", fragment, re.IGNORECASE
        ):
            return label
    return _last_label(question, fragment)


def _last_label(question: Question, text: str) -> str | None:
    """The last label that stands on its own: "(B)", "option B", "B." or "B"; "A dog" and "I think" are no labels."""
    last, place = None, -1
    for label in question.options:
        spelled = re.escape(label)
        article = r"(?![ \t]+(?!is\b|because\b)[a-z])" if label in ("A", "I") else ""
        for match in re.finditer(rf"\((?i:{spelled})\)|(?<![\w'’]){spelled}(?![\w'’]){article}", text):
            if match.start() > place:
                last, place = label, match.start()
    return last


def _words(text: str) -> list[str]:
    rows = [_BULLET.sub("", row) for row in _unboxed(text).splitlines()]
    pieces = [piece.strip('*_`"“”[](){}.:!?') for row in rows for piece in _SEPARATORS.split(row)]
    return [piece for piece in pieces if re.search(r"\w", piece)]


def _unboxed(text: str) -> str:
    """A box's content without the brace that closes it."""
    return text[: text.index("}")] if "}" in text and "{" not in text else text


def _whole_number(text: str) -> Fraction | None:
    plain = text.strip(_EDGES)
    match = _NUMBER.fullmatch(plain)
    return None if match is None else _value(match)


def _value(match: re.Match[str]) -> Fraction | None:
    if len(match[0]) > _LONGEST_NUMBER:
        return None
    value = Fraction(match["digits"].replace(",", "") + (match["power"] or ""))
    if match["below"]:
        if int(match["below"]) == 0:
            return None
        value /= int(match["below"])
    return -value if match["sign"] in ("-", "−") else value


def _decimal(value: Fraction) -> str:
    if value.denominator == 1:
        return str(value.numerator)
    millionths = round(value * 1_000_000)
    whole, part = divmod(abs(millionths), 1_000_000)
    sign = "-" if millionths < 0 else ""
    return f"{sign}{whole}" + (f".{part:06d}".rstrip("0") if part else "")
