"""Tasks that live in files: GSM8K, BIG-Bench Hard, and a user's own JSON Lines."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from shoal.errors import InputError, UnknownName
from shoal.runs.seeds import derive
from shoal.tasks.answers import canonical, extract, number
from shoal.tasks.datasets import SOURCES, data_file, missing
from shoal.tasks.generation import question_code
from shoal.tasks.problem import AnswerKind, Problem, Question

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_TRUTHS = {"true", "false", "yes", "no"}
PROBLEM_FORM = '{"question": ..., "answer": ...}'


@dataclass(frozen=True)
class FileTask:
    """A task with a fixed set of problems.

    Attributes:
        name: the spec that opens it.
        title: what it is, in a few words.
        held: every problem, in the file's order.
    """

    name: str
    title: str
    held: tuple[Problem, ...]

    @property
    def kinds(self) -> tuple[str, ...]:
        """The forms of answers that occur."""
        return tuple(sorted({problem.question.kind for problem in self.held}))

    def problems(self, count: int, seed: int) -> Sequence[Problem]:
        """``count`` problems drawn without replacement, in random order; all of them where the file holds fewer.

        A real problem is never handed out twice: repeats would pass for replicates.
        """
        order = list(self.held)
        random.Random(derive(seed, "task", self.name)).shuffle(order)
        return order[:count]


def read_jsonl(path: Path, form: str = PROBLEM_FORM) -> Iterator[tuple[int, dict[str, Any]]]:
    """The JSON objects of a file with their line numbers, from 1; blank lines are skipped. ``form`` is for mends.

    Raises:
        InputError: the file is absent or empty, or a line is not UTF-8, not JSON or not an object.
    """
    if not path.is_file():
        raise InputError("file", str(path), "There is no such file; give the path of a JSON Lines file.")
    empty = True
    with path.open("rb") as lines:
        for count, raw in enumerate(lines, 1):
            where = f"{path}:{count}"
            try:
                line = raw.decode("utf-8-sig" if count == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise InputError(where, raw[error.start : error.start + 20], "Save the file as UTF-8.") from None
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except (json.JSONDecodeError, RecursionError) as error:
                reason = getattr(error, "msg", "nested too deeply")
                raise InputError(where, line.strip()[:60], f"Write one JSON object per line ({reason}).") from None
            if not isinstance(record, dict):
                raise InputError(where, line.strip()[:60], f"Write an object: {form}.")
            empty = False
            yield count, record
    if empty:
        raise InputError("file", str(path), f"It is empty; write {form} on each line.")


# ---------------------------------------------------------------------------------------------------- GSM8K


def open_gsm8k(path: str = "") -> FileTask:
    """GSM8K (Cobbe et al., arXiv 2110.14168): the test file found in the data folders, or the file given."""
    file = Path(path).expanduser() if path else data_file(*SOURCES["gsm8k"][0].split("/"))
    if file is None:
        raise InputError("task", "gsm8k", missing("gsm8k"))
    problems = [gsm8k_problem(record, f"{file}:{line}") for line, record in read_jsonl(file)]
    return FileTask(f"gsm8k:{path}" if path else "gsm8k", "grade-school word problems", tuple(problems))


def gsm8k_problem(record: dict[str, Any], where: str) -> Problem:
    """A problem from a record of either GSM8K file (the worked answer is in ``answer`` or ``ground_truth``).

    The id depends on the question alone, so both files give the same ids. Difficulty is the number of calculations in
    the worked answer: up to 2 easy, up to 4 medium, else hard.
    """
    text = _text(record, "question", where).strip()
    worked = _text(record, "answer" if "answer" in record else "ground_truth", where)
    final = re.split(r"####|^A:", worked, flags=re.MULTILINE)[-1]
    value = number(final)
    if value is None:
        raise InputError(f"{where} answer", worked[-40:], 'End the worked answer with "#### <number>".')
    steps = worked.count("<<")
    difficulty = "easy" if steps <= 2 else "medium" if steps <= 4 else "hard"
    question = Question(
        id=f"gsm8k-{question_code(text)}",
        text=text,
        kind="number",
        tags={"benchmark": "gsm8k", "difficulty": difficulty},
    )
    return Problem(question, canonical(question, final.strip()))


def without_calculations(worked: str) -> str:
    """A GSM8K text without its calculator annotations ``<<3+4=7>>``, also where the text breaks off inside one."""
    return re.sub(r"<<[^<>\n]*(?:>>|$)", "", worked, flags=re.MULTILINE)


# ---------------------------------------------------------------------------------------------------- BBH


def open_bbh(name: str) -> FileTask:
    """A BIG-Bench Hard task (Suzgun et al., arXiv 2210.09261) by file stem or path."""
    if name.endswith(".json") or "/" in name:
        file = Path(name).expanduser()
    else:
        folder = data_file("bbh")
        if folder is None:
            raise InputError("task", f"bbh:{name}", missing("bbh"))
        file = folder / f"{name}.json"
        if not file.is_file():
            raise UnknownName("task bbh", name, (found.stem for found in folder.glob("*.json")))
    examples = _bbh_examples(file)
    stem = file.stem
    kind = _bbh_kind([target for _, target in examples])
    problems = [_bbh_problem(stem, kind, text, target) for text, target in examples]
    return FileTask(f"bbh:{name}", f"BIG-Bench Hard: {stem.replace('_', ' ')}", tuple(_unrepeated(problems)))


def _bbh_examples(file: Path) -> list[tuple[str, str]]:
    if not file.is_file():
        raise InputError("file", str(file), "There is no such file; give the path of a BIG-Bench Hard JSON file.")
    try:
        document = json.loads(file.read_bytes().decode("utf-8"))
    except UnicodeDecodeError as error:
        line = file.read_bytes()[: error.start].count(b"\n") + 1
        raise InputError(f"{file}:{line}", "bytes that are not UTF-8", "Save the file as UTF-8.") from None
    except json.JSONDecodeError as error:
        raise InputError(f"{file}:{error.lineno}", error.doc[error.pos : error.pos + 40], f"{error.msg}.") from None
    examples = document.get("examples") if isinstance(document, dict) else None
    if not isinstance(examples, list) or not examples:
        raise InputError(str(file), "no examples", 'Write {"examples": [{"input": ..., "target": ...}, ...]}.')
    rows = []
    for place, example in enumerate(examples, 1):
        where = f"{file} example {place}"
        if not isinstance(example, dict):
            raise InputError(where, example, 'Write {"input": ..., "target": ...}.')
        rows.append((_text(example, "input", where), _text(example, "target", where)))
    return rows


def _bbh_kind(targets: Sequence[str]) -> AnswerKind:
    if all(re.fullmatch(r"\([A-Z]\)", target) for target in targets):
        return "choice"
    if all(target.lower() in _TRUTHS for target in targets):
        return "boolean"
    if all(re.fullmatch(r"-?[\d.,]+", target) for target in targets):
        return "number"
    return "words" if sum(" " in target for target in targets) > len(targets) / 2 else "text"


def _bbh_problem(stem: str, kind: AnswerKind, text: str, target: str) -> Problem:
    tags = {"benchmark": f"bbh:{stem}", "difficulty": "hard"}
    options: tuple[str, ...] = ()
    if kind == "choice":
        options = tuple(re.findall(r"^\(([A-Z])\)", text, re.MULTILINE))
        target = target.strip("()")
    elif kind == "boolean" and target.lower() in ("yes", "no"):
        tags["form"] = "yes-no"
    return Problem(Question(f"bbh-{stem}-{question_code(text)}", text, kind, options, {}, tags), target)


def _unrepeated(problems: Sequence[Problem]) -> list[Problem]:
    """The problems without those whose question occurred before: an id must name one problem."""
    return list({problem.question.id: problem for problem in reversed(problems)}.values())[::-1]


# ---------------------------------------------------------------------------------------------------- a user's file


def open_file(path: Path) -> FileTask:
    """A JSON Lines file with a question and an answer on each line.

    Optional fields: ``id``; ``kind`` (number, choice, boolean, words, text; otherwise seen from the answer); and
    ``options``, a list of texts, which get the labels A, B, ... and are added to the question, or an object from
    labels to texts. The answer of a choice is a label or an option's text. A worked answer may end in "#### X".
    """
    problems: dict[str, Problem] = {}
    for line, record in read_jsonl(path):
        where = f"{path}:{line}"
        problem = _own_problem(record, where, path.stem)
        identity = problem.question.id
        if identity in problems:
            raise InputError(f"{where} id", identity, "Give each question an id of its own, or leave repeats out.")
        problems[identity] = problem
    return FileTask(str(path), f"questions of {path.name}", tuple(problems.values()))


def _own_problem(record: dict[str, Any], where: str, stem: str) -> Problem:
    text = _text(record, "question", where).strip()
    answer = _text(record, "answer", where).rpartition("####")[2].strip()
    options = _options(record.get("options"), where)
    kind = record.get("kind") or _seen_kind(answer, options)
    if kind not in get_args(AnswerKind):
        raise InputError(f"{where} kind", kind, f"Write one of {', '.join(get_args(AnswerKind))}.")
    if (kind == "choice") != bool(options):
        raise InputError(f"{where} options", record.get("options"), "A choice needs options, and only a choice does.")
    rows = [f"({label}) {meaning}" for label, meaning in options.items() if meaning]
    full = "\n".join([text, *rows])
    identity = str(record.get("id") or f"{stem}-{question_code(full)}")
    tags = {"benchmark": stem, "difficulty": str(record.get("difficulty", "unknown"))}
    if kind == "boolean" and answer.lower() in ("yes", "no"):
        tags["form"] = "yes-no"
    question = Question(identity, full, kind, tuple(options), {}, tags)
    read = extract(question, f"Answer: {answer}")
    if read is None or (kind == "choice" and canonical(question, read) not in options):
        known = f" (one of {', '.join(options)})" if options else ""
        raise InputError(f"{where} answer", answer, f"Write an answer of the kind {kind}{known}.")
    return Problem(question, read if kind == "choice" else answer)


def _options(given: Any, where: str) -> dict[str, str]:
    if given is None:
        return {}
    if isinstance(given, dict) and len(given) >= 2:
        return {str(label): str(meaning) for label, meaning in given.items()}
    if isinstance(given, list) and 2 <= len(given) <= len(_LETTERS):
        texts = [str(item) for item in given]
        if texts == list(_LETTERS[: len(texts)]):
            return dict.fromkeys(texts, "")  # bare labels: the question already lists their texts
        return dict(zip(_LETTERS, texts, strict=False))
    raise InputError(f"{where} options", given, "Write a list of 2 to 26 texts, or an object from labels to texts.")


def _seen_kind(answer: str, options: dict[str, str]) -> AnswerKind:
    if options:
        return "choice"
    if answer.lower() in _TRUTHS:
        return "boolean"
    return "number" if re.fullmatch(r"[-−+]?\$?[\d,]*\.?\d+%?", answer) else "text"


def _text(record: dict[str, Any], key: str, where: str) -> str:
    """A field as text. Raises InputError where it is absent, empty or not a plain value."""
    value = record.get(key)
    if value is None or isinstance(value, (dict, list)) or not str(value).strip():
        raise InputError(f"{where} {key}", value, f'Give a "{key}" that is a text or a number.')
    return str(value)
