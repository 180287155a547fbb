"""Every registered task keeps the same promises; each promise is checked on each of them."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise

import pytest

from shoal.errors import InputError, UnknownName
from shoal.tasks.answers import canonical, extract, instruction, same_answer
from shoal.tasks.catalogue import TASKS, listing, open_task
from shoal.tasks.generated.arithmetic import evaluate
from shoal.tasks.lures import wrong_answers
from shoal.tasks.problem import Problem, Task

SPECS = [
    *TASKS.names(),
    "sums:terms=3",
    "choose:digits=3",
    "copy:digits=5",
    "lookup:entries=20",
    "lookup-private:agents=5,entries=3,hops=2",
    "facts:hops=1,entries=2",
    "facts:bases=50",
    "lookup-private:agents=12,entries=12,hops=2",
    "lookup-private:agents=2,entries=1,hops=2",
    "arithmetic:digits=1,steps=1,times=false",
    "arithmetic:digits=4,steps=6",
    "word-problems:steps=4,largest=1000",
    "word-problems:steps=1,largest=5",
    "multiple-choice:choices=2",
    "multiple-choice:choices=6,topic=calendar",
    "boolean:depth=1",
    "boolean:depth=6",
    "counting:items=14,most=12",
    "counting:items=2,most=1",
    "sorting:words=30",
    "sorting:words=2",
    "ranking:people=12",
    "ranking:people=2",
]
EXPECTED = {
    "arithmetic", "boolean", "choose", "copy", "counting", "facts", "lookup", "lookup-private", "multiple-choice",
    "ranking", "sorting", "sums", "word-problems",
}  # fmt: skip


def test_the_catalogue_holds_the_tasks() -> None:
    assert set(TASKS.names()) == EXPECTED
    listed = {entry.name: entry for entry in listing()}
    assert set(listed) == EXPECTED | {"gsm8k", "bbh"}
    assert listed["arithmetic"].settings == {"digits": 2, "steps": 2, "times": True}
    assert all(entry.title and entry.kinds for entry in listed.values())


@pytest.fixture(params=SPECS)
def task(request: pytest.FixtureRequest) -> Task:
    return open_task(request.param)


@pytest.fixture
def problems(task: Task) -> list[Problem]:
    return list(task.problems(60, 3))


def test_the_name_reopens_the_task(task: Task, problems: list[Problem]) -> None:
    assert list(open_task(task.name).problems(60, 3)) == problems


def test_right_answers_are_read_and_pass(problems: list[Problem]) -> None:
    for problem in problems:
        for form in ("Answer: {}", "I think so.\n**Answer:** {}.", "So the answer is {}.", "#### {}", r"\boxed{{{}}}"):
            found = extract(problem.question, form.format(problem.answer))
            assert problem.check(found), (form, problem.question.text, problem.answer, found)
        assert problem.check(problem.answer)


def test_lures_are_wrong_and_distinct(problems: list[Problem]) -> None:
    for problem in problems:
        assert problem.lures
        keys = {canonical(problem.question, lure) for lure in problem.lures}
        assert len(keys) == len(problem.lures)
        for lure in problem.lures:
            assert not problem.check(lure)
            assert not problem.check(extract(problem.question, f"Answer: {lure}"))


def test_wrong_answers_are_wrong_readable_and_as_many_as_asked(problems: list[Problem]) -> None:
    for problem in problems:
        wrong = wrong_answers(problem, 5)
        most = {"boolean": 1, "choice": len(problem.question.options) - 1}.get(problem.question.kind, 5)
        assert len(wrong) == min(5, most)
        read = [extract(problem.question, f"Answer: {answer}") for answer in wrong]
        assert all(answer is not None and not problem.check(answer) for answer in read)
        assert len({canonical(problem.question, str(answer)) for answer in read}) == len(wrong)


def test_problems_depend_on_the_seed_alone(task: Task, problems: list[Problem]) -> None:
    assert list(task.problems(60, 3)) == problems
    assert list(task.problems(20, 3)) == problems[:20]
    assert list(task.problems(60, 4)) != problems


def test_problems_are_distinct_while_the_task_has_new_ones(task: Task) -> None:
    problems = task.problems(150, 1)
    asked = Counter((p.question.text, tuple(sorted(p.question.sheets.items()))) for p in problems)
    ids = [p.question.id for p in problems]
    assert len(set(ids)) == 150
    repeated = [identity for identity in ids if re.fullmatch(r".*-[0-9a-f]{12}-\d+", identity)]
    assert len(asked) == 150 - len(repeated)
    # A task starts over only when it is used up: then every problem has come about as often as any other.
    assert max(asked.values()) - min(asked.values()) <= 1


def test_small_tasks_are_used_up_before_they_repeat() -> None:
    assert len({p.question.text for p in open_task("sums").problems(81, 0)}) == 81
    assert len({p.question.text for p in open_task("choose").problems(72, 5)}) == 72


def test_nothing_leaks(problems: list[Problem]) -> None:
    shares: Counter[str] = Counter()
    for problem in problems:
        question = problem.question
        assert question.tags["benchmark"] and question.tags["difficulty"] in ("easy", "medium", "hard")
        assert problem.answer not in question.id.split("-")
        assert all(key == str(int(key)) for key in question.sheets), "sheets are keyed by position and nothing else"
        shares.update(name for name, value in question.tags.items() if same_answer(question, value, problem.answer))
    assert all(count <= 0.25 * len(problems) for count in shares.values()), shares


@pytest.mark.parametrize("spec", [spec for spec in SPECS if TASKS.get(spec.partition(":")[0]).kinds == ("choice",)])
def test_choices_contain_the_answer_at_all_places(spec: str) -> None:
    problems = open_task(spec).problems(300, 0)
    assert {problem.question.kind for problem in problems} == {"choice"}
    for problem in problems:
        assert problem.answer in problem.question.options
        rows = re.findall(r"^\((\w)\) (.+)$", problem.question.text, re.MULTILINE)
        assert [label for label, _ in rows] == list(problem.question.options)
        assert len({text for _, text in rows}) == len(rows)
        right = dict(rows)[problem.answer]
        assert problem.check(extract(problem.question, f"Answer: {right}")), "an option's text names its label"
    places = Counter(problem.answer for problem in problems)
    expected = len(problems) / len(problems[0].question.options)
    assert all(0.5 * expected < count < 1.7 * expected for count in places.values()), places


def test_both_truth_values_are_frequent() -> None:
    for depth in (1, 3, 5):
        answers = Counter(p.answer for p in open_task(f"boolean:depth={depth}").problems(400, 2))
        assert 150 < answers["True"] < 250


def test_booleans_agree_with_python() -> None:
    for problem in open_task("boolean:depth=5").problems(200, 0):
        expression = problem.question.text.partition("? ")[2]
        assert set(re.findall(r"\w+", expression)) <= {"True", "False", "not", "and", "or"}
        assert str(eval(expression)) == problem.answer


def test_arithmetic_agrees_with_python() -> None:
    for problem in open_task("arithmetic:digits=3,steps=6").problems(200, 0):
        expression = problem.question.text.removeprefix("What is ").removesuffix("?").replace("×", "*")
        assert re.fullmatch(r"[\d+*\- ]+", expression)
        assert eval(expression) == int(problem.answer)
    assert evaluate([2, 3, 4, 5], ["+", "*", "-"]) == 9


def test_word_problems_agree_with_a_second_reading() -> None:
    """The stories are read back sentence by sentence, by the words in them."""
    loss = r"\b(loses|gives \d|get off|pays|spends|sold\.|takes|lent|sent|uses|spoil)"
    for problem in open_task("word-problems").problems(300, 8):
        sentences = re.split(r"(?<=\.) ", problem.question.text)[:-1]
        amount = int(re.findall(r"\d+", sentences[0])[0])
        for sentence in sentences[1:]:
            numbers = [int(n) for n in re.findall(r"\d+", sentence)]
            if "double" in sentence:
                amount *= 2
            elif "half" in sentence.lower():
                amount //= 2
            elif len(numbers) == 2:
                amount += numbers[0] * numbers[1]
            elif re.search(loss, sentence) and "A friend gives" not in sentence:
                amount -= numbers[0]
            else:
                amount += numbers[0]
        assert amount == int(problem.answer), problem.question.text


def test_counting_agrees_with_a_second_count() -> None:
    from shoal.tasks.generated.vocabulary import KINDS_OF_THINGS, NUMBERS, plural

    for problem in open_task("counting").problems(200, 4):
        listed, asked = re.fullmatch(r"I have (.+)\. How many (.+) do I have\?", problem.question.text).groups()
        total = 0
        for entry in re.split(r", | and ", listed):
            count, noun = entry.split(" ", 1)
            members = [form for thing in KINDS_OF_THINGS[asked] for form in (thing, plural(thing))]
            total += (1 if count in ("a", "an") else NUMBERS.index(count)) * (noun in members)
        assert total == int(problem.answer), problem.question.text


def test_rankings_follow_from_the_statements() -> None:
    for problem in open_task("ranking:people=6").problems(50, 0):
        more = {"taller", "older", "faster", "richer"}
        pairs = re.findall(r"(\w+) is (\w+) than (\w+)\.", problem.question.text)
        above = {(a, b) if word in more else (b, a) for a, word, b in pairs}
        assert above == set(pairwise(problem.answer.split()))


def test_private_sheets_need_the_team() -> None:
    for problem in open_task("lookup-private:agents=4,hops=2").problems(80, 0):
        who = re.search(r"thing that (.+) has\?", problem.question.text)[1]
        owner = next(at for at, sheet in problem.question.sheets.items() if f"{who} has the" in sheet)
        thing = re.search(rf"{who} has the (.+)\.", problem.question.sheets[owner])[1]
        holder = next(at for at, s in problem.question.sheets.items() if f"The {thing} has the number" in s)
        assert owner != holder
        number = re.search(rf"The {thing} has the number (\d+)\.", problem.question.sheets[holder])[1]
        assert number == problem.answer
    holders: Counter[str] = Counter()
    for problem in open_task("lookup-private:agents=3,entries=4").problems(300, 0):
        key = re.search(r"number of (.+)\?", problem.question.text)[1]
        found = [at for at, sheet in problem.question.sheets.items() if f"{key}: {problem.answer}" in sheet.split("\n")]
        assert len(found) == 1
        assert {len(sheet.split("\n")) for sheet in problem.question.sheets.values()} == {4}
        holders.update(found)
    assert min(holders.values()) > 70, "every agent is the one that knows about a third of the time"


def test_multiple_choice_answers_are_right() -> None:
    for problem in open_task("multiple-choice").problems(300, 6):
        text = problem.question.text
        options = dict(re.findall(r"^\((\w)\) (.+)$", text, re.MULTILINE))
        right = options[problem.answer]
        numbers = [int(n) for n in re.findall(r"\d+", text.split("\n")[0])]
        topic = problem.question.tags["topic"]
        if topic == "product":
            assert int(right) == numbers[0] * numbers[1]
        elif topic == "divisibility":
            assert [o for o in options.values() if int(o) % numbers[0] == 0] == [right]
        elif topic == "spelling":
            assert right == min(options.values())
        elif topic == "ages":
            assert int(right) == numbers[0] + numbers[1] - numbers[2]
        elif topic == "calendar":
            days = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()  # noqa: SIM905
            today = next(day for day in days if f"Today is {day}" in text)
            assert right == days[(days.index(today) + numbers[0]) % 7]
        else:
            steps = [b - a for a, b in pairwise(numbers)]
            growth = steps[1] - steps[0]
            assert int(right) == numbers[-1] + steps[-1] + growth


def test_instructions_are_quoted_and_never_hold_an_answer(problems: list[Problem]) -> None:
    line = instruction(problems[0].question)
    assert '"Answer: ' in line and "\n" not in line
    assert extract(problems[0].question, line) is None


@pytest.mark.parametrize(
    ("spec", "error", "words"),
    [
        ("sumz", UnknownName, "Did you mean sums"),
        ("word_problems", UnknownName, "word-problems"),
        ("arithmetic:digit=2", UnknownName, "digits"),
        ("arithmetic:digits=99", InputError, "digits"),
        ("arithmetic:digits", InputError, "key=value"),
        ("lookup-private:agents=1", InputError, "agents"),
        ("multiple-choice:topic=cars", InputError, "topic"),
    ],
)
def test_unknown_tasks_and_settings_are_refused(spec: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        open_task(spec)
