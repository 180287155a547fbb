"""Tools that an agent calls while it writes: ``[calculator: 12*3]`` is followed by what the tool gives, `` = 36``.

The reply goes on after the result. What a tool gives is read by the model and never counts as written by it.
"""

from __future__ import annotations

import ast
import inspect
import operator
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from shoal.errors import UnknownName

CALL = re.compile(r"\[(\w+): ?([^\[\]\n]*)\]$")
"""A call at the end of what was written."""
CALLED = re.compile(r"\[(\w+): ?([^\[\]\n]*)\] = [^\n]*\n")
"""A call with its result in a reply."""
LONGEST = 200
"""Characters of an argument that a tool reads, and of a result that it gives."""
ANYTHING = "*"
"""Name of a tool that takes every closing bracket which ends no call of another tool; agents are not told of it."""


class EndOfReply(Exception):
    """Raised by a tool: the reply ends with this call."""


@dataclass(frozen=True)
class Tool:
    """What an agent may call.

    Attributes:
        name: in calls; a word.
        what: what it does and takes, for the agent; empty where it need not be told.
        run: from the argument to the result, which may have to be awaited; raises ValueError, saying why, where there
            is none.
    """

    name: str
    what: str
    run: Callable[[str], str | Awaitable[str]]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call and what came of it; ``failed`` if the result is an error."""

    tool: str
    argument: str
    result: str
    failed: bool = False

    @property
    def inserted(self) -> str:
        """What stands behind the call in the reply."""
        return f" = {self.result}\n"


def asked(text: str, tools: Sequence[Tool]) -> tuple[Tool, str] | None:
    """The tool that the end of a text calls, and its argument; None if there is no call, or none of these tools."""
    if not text.endswith("]"):
        return None
    found = CALL.search(text)
    names = {tool.name: tool for tool in tools}
    tool = (names.get(found[1]) if found is not None else None) or names.get(ANYTHING)
    return None if tool is None else (tool, found[2] if found is not None else "")


async def called(text: str, tools: Sequence[Tool]) -> ToolCall | None:
    """The call at the end of a text, carried out; None if there is none. Raises EndOfReply if the tool does."""
    call = asked(text, tools)
    if call is None:
        return None
    tool, argument = call
    try:
        told = tool.run(argument[:LONGEST])
        result, failed = str(await told if inspect.isawaitable(told) else told), False
    except ValueError as error:
        result, failed = f"error: {error}", True
    return ToolCall(tool.name, argument, result[:LONGEST], failed)


def result_of(text: str) -> str:
    """What a reply comes to: its text after the last call's result; empty where that is none, or holds a bracket."""
    ends = [found.end() for found in CALLED.finditer(text)]
    tail = text[ends[-1] :] if ends else text
    return "" if "[" in tail or "]" in tail else tail.strip()


def is_well_formed(text: str, names: Sequence[str]) -> bool:
    """Whether a reply is calls of these tools, each with its result, with plain text between, and a result at the end.

    A machine of two states. Outside a call a closing bracket is an error and an opening one begins a call; inside, what
    follows must be a known name, an argument without brackets, and the result up to the end of the line.
    """
    place = 0
    while (begin := text.find("[", place)) >= 0:
        call = CALLED.match(text, begin)
        if call is None or call[1] not in names or "]" in text[place:begin]:
            return False
        place = call.end()
    return bool(result_of(text))


def directions(tools: Sequence[Tool]) -> str:
    """What an agent is told about its tools; nothing if none of them is described."""
    lines = [f"[{tool.name}: ...] {tool.what}" for tool in tools if tool.what]
    lead = "You may call tools in your reply; the result appears behind the call:"
    return "\n".join([lead, *lines]) if lines else ""


_OPERATORS: dict[type[ast.AST], Callable[..., float]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.USub: operator.neg, ast.UAdd: operator.pos,
}  # fmt: skip


def calculate(expression: str) -> str:
    """The value of an expression in numbers, ``+ - * / // %`` and brackets.

    Raises:
        ValueError: it is none, or has no value.
    """
    try:
        value = _value(ast.parse(expression.replace("×", "*").strip(), mode="eval").body)
    except (SyntaxError, MemoryError, RecursionError):
        raise ValueError("not an expression") from None
    except ArithmeticError:
        raise ValueError("no value") from None
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _value(node: ast.AST) -> float:
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return number
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_value(left), _value(right))
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_value(operand))
    raise ValueError("only numbers, + - * / // % and brackets")


CALCULATOR = Tool("calculator", "gives the value of an expression such as (12+3)*4", calculate)
TOOLS: Mapping[str, Tool] = {CALCULATOR.name: CALCULATOR}
"""Tools by name, for teams in files."""


def find_tools(names: Sequence[str]) -> tuple[Tool, ...]:
    """Tools by name. Raises UnknownName."""
    for name in names:
        if name not in TOOLS:
            raise UnknownName("tool", name, TOOLS)
    return tuple(TOOLS[name] for name in names)
