"""Answers in the many ways in which models write them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.tasks.answers import canonical, extract, instruction, number, same_answer
from shoal.tasks.problem import Question

NUMBER = Question("n", "How many?", "number")
CHOICE = Question(
    "c", "Which is a fruit?\n(A) a stone\n(B) an apple\n(C) a chair\n(I) iron", "choice", ("A", "B", "C", "I")
)
TRUTH = Question("b", "Is it so?", "boolean")
YES = Question("y", "Is it so?", "boolean", tags={"form": "yes-no"})
WORDS = Question("w", "Sort these words: pear it&t apple fig", "words")
TEXT = Question("t", "Which city?", "text")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Answer: 18", "18"),
        ("Answer: $18.", "18"),
        ("answer: 1,234,567 dollars", "1234567"),
        ("Final Answer: 18.50", "18.5"),
        ("**Answer:** 18", "18"),
        ("**Answer**: 18", "18"),
        ("> Answer: -7", "-7"),
        ("Answer: −7", "-7"),
        ("Answer:\n\n18", "18"),
        ("Answer: 3 + 4 = 7", "7"),
        ("Answer: 1/2", "0.5"),
        ("Answer: seven", "7"),
        ("Answer: 50%", "50"),
        ("Answer: 2e3", "2000"),
        ("Answer: .5", "0.5"),
        ("Answer: 5\nNo, wait.\nAnswer: 6", "6"),
        ("Answer: 5\nExplanation: the answer is made of 2 and 3.", "5"),
        ("3+4=7\n#### 7", "7"),
        ("Half of it is 9\nA: 1,009", "1009"),
        (r"so \boxed{42} it is", "42"),
        (r"so $\boxed{ 42 }$ with 7", "42"),
        ("So the answer is 12, as 3 times 4 is 12 and not 13.", "12"),
        ("The answer to this question is 9. I used 2 steps.", "9"),
        ("The answer is not 9. It is 10", "10"),
        ("Answer: <number>\nI get 4", "4"),
        ("First 3, then 16-3 gives 13", "13"),
        ("3, 4 and 5", "5"),
        ("It rose from 3 to 1,000.", "1000"),
        ("I have no idea", None),
        ("", None),
        ("   \n", None),
        ("Answer: 12345678901234567890", "12345678901234567890"),
        ("Answer: " + "9" * 5000, None),
        ("Answer: 1/0", None),
        ("That leaves 5.0 of 1.50", "1.5"),
    ],
)
def test_numbers(text: str, found: str | None) -> None:
    assert extract(NUMBER, text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Answer: B", "B"),
        ("Answer: (b)", "B"),
        ("Answer: b.", "B"),
        ("Answer: b", "B"),
        ("Answer: B) an apple", "B"),
        ("Answer: option C", "C"),
        ("Answer: an apple", "B"),
        ("Answer: An apple.", "B"),
        ("Answer: a chair", "C"),
        ("The answer is (C).", "C"),
        ("(A) is wrong, so it must be (B).", "B"),
        ("A stone is not a fruit, I think. B is.", "B"),
        ("I think a stone is it", None),
        ("B", "B"),
        ("none", None),
        ("Answer: Z", None),
    ],
)
def test_choices(text: str, found: str | None) -> None:
    assert extract(CHOICE, text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Answer: True", "True"),
        ("Answer: false.", "False"),
        ("Answer: Yes, it is", "Yes"),
        ("True and False gives False", "False"),
        ("The answer is yes because it is not false.", "Yes"),
        ("Certainly", None),
        ("There is no way to tell", None),
        ("No, because they lie.", "No"),
        ("They lie. So yes.", "Yes"),
        ("**No**", "No"),
        ("no", "No"),
        ("I know nothing", None),
    ],
)
def test_truths(text: str, found: str | None) -> None:
    assert extract(TRUTH, text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Answer: apple fig it&t pear", "apple fig it&t pear"),
        ("Answer: apple, fig, it&t, pear.", "apple fig it&t pear"),
        ("Answer: apple > fig > it&t > pear", "apple fig it&t pear"),
        ("Answer:\n1. apple\n2. fig\n3. it&t\n4. pear\n\nThat was easy.", "apple fig it&t pear"),
        ("Answer: [apple, 'fig']", "apple 'fig'"),
        ("Sorted:\n- apple\n- fig\n- pear", "apple fig pear"),
        ("apple fig it&t pear", "apple fig it&t pear"),
        ("The order: apple fig pear", "apple fig pear"),
        ("I cannot sort them.", None),
        ("Answer: <the words in order, separated by spaces>", None),
    ],
)
def test_word_lists(text: str, found: str | None) -> None:
    assert extract(WORDS, text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Answer: Paris.", "Paris"),
        ('Answer: "New York"', "New York"),
        ("It is far away.\nThe answer is Lima", "Lima"),
        ("Paris", "Paris"),
        ("Well, that would be a city which I have never been to.", None),
        ("Answer: <answer>", None),
    ],
)
def test_texts(text: str, found: str | None) -> None:
    assert extract(TEXT, text) == found


@pytest.mark.parametrize(
    ("question", "a", "b", "same"),
    [
        (NUMBER, "1,000", "1000", True),
        (NUMBER, "18.0", "18", True),
        (NUMBER, "$18", "18.", True),
        (NUMBER, "0.5", "1/2", True),
        (NUMBER, "18", "18.1", False),
        (NUMBER, "1234567890", "1234567891", False),
        (NUMBER, "-0", "0", True),
        (NUMBER, "many", "Many.", True),
        (NUMBER, "many", "few", False),
        (CHOICE, "(a)", "A", True),
        (CHOICE, "an apple", "B", True),
        (CHOICE, "A", "B", False),
        (TRUTH, "yes", "True", True),
        (TRUTH, "No", "FALSE", True),
        (TRUTH, "True", "No", False),
        (WORDS, "apple, fig", "Apple  fig", True),
        (WORDS, "fig apple", "apple fig", False),
        (TEXT, "new  york.", "New York", True),
        (TEXT, "18.0", "18", True),
        (TEXT, "Paris", "Lima", False),
    ],
)
def test_same_answers(question: Question, a: str, b: str, same: bool) -> None:
    assert same_answer(question, a, b) is same
    assert same_answer(question, b, a) is same
    assert (canonical(question, a) == canonical(question, b)) is same


@pytest.mark.parametrize("question", [NUMBER, CHOICE, TRUTH, YES, WORDS, TEXT])
def test_a_repeated_instruction_is_no_answer(question: Question) -> None:
    line = instruction(question)
    assert extract(question, line) is None
    assert extract(question, f"> {line}\n{line}") is None
    answer = {"number": "3", "choice": "A", "boolean": "True", "words": "fig pear", "text": "Lima"}[question.kind]
    assert extract(question, f"{line}\nAnswer: {answer}") == answer
    assert extract(question, f"Answer: {answer}\n{line}") == answer


@pytest.mark.parametrize("piece", ["\n", "-", "#", "answer ", "(", "1,", "A. ", "a: ", "<", "no ", "Answer: x\n", "9"])
def test_runaway_replies_are_read_too(piece: str) -> None:
    """Sixty thousand characters that any backtracking or rescanning pattern would take minutes over."""
    text = piece * (60_000 // len(piece))
    assert extract(NUMBER, f"{text}\n\nAnswer: 12") == "12"
    assert extract(CHOICE, f"{text}\n\nAnswer: B") == "B"
    assert extract(TRUTH, f"{text}\n\nAnswer: true") == "True"
    assert extract(WORDS, f"{text}\n\nAnswer: fig pear\nAnswer: <answer>") == "fig pear"
    for question in (NUMBER, CHOICE, TRUTH, WORDS, TEXT):
        found = extract(question, text)
        assert found is None or re.search(r"\w", found)


def test_numbers_are_exact() -> None:
    assert number("0.1") * 3 == number("0.3")
    assert number("no") is None


def test_instructions() -> None:
    assert instruction(NUMBER) == 'End with a line "Answer: <number>".'
    assert "A, B, C, I" in instruction(CHOICE)
    assert instruction(TRUTH) == 'End with a line "Answer: True" or "Answer: False".'
    assert instruction(YES) == 'End with a line "Answer: Yes" or "Answer: No".'


@settings(derandomize=True, deadline=None)
@given(st.text(max_size=300), st.sampled_from([NUMBER, CHOICE, TRUTH, WORDS, TEXT]))
def test_any_text_can_be_read(text: str, question: Question) -> None:
    found = extract(question, text)
    if found is not None:
        assert found
        key = canonical(question, found)
        assert canonical(question, key) == key, "a canonical form is its own canonical form"


@settings(derandomize=True, deadline=None)
@given(st.integers(-(10**15), 10**15), st.integers(0, 4))
def test_every_way_of_writing_a_number_is_the_same(value: int, zeros: int) -> None:
    point = "." + "0" * zeros if zeros else ""
    for form in (f"{value}{point}", f"{value:,}{point}", f"Answer: {value:,}{point}."):
        assert extract(NUMBER, form) == str(value)
