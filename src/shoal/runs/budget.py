"""Hard budgets: tokens, calls, seconds and money, for a run and for each agent in it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, fields

from shoal.errors import BudgetExceeded, InputError
from shoal.traces import Usage


@dataclass(frozen=True, slots=True)
class Limits:
    """Upper bounds; None is no bound.

    Attributes:
        tokens: prompt and completion tokens together.
        calls: model calls, cached ones included (a resumed run must stop where the first one would have).
        seconds: wall time since the budget was opened.
        money: US dollars by the price table.
    """

    tokens: int | None = None
    calls: int | None = None
    seconds: float | None = None
    money: float | None = None

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if value is not None and not value > 0:
                raise InputError(f"budget {item.name}", value, "Give a number above 0, or leave it out for no limit.")


@dataclass(slots=True)
class _Account:
    limits: Limits
    used: Usage = field(default_factory=Usage)
    reserved_tokens: int = 0
    reserved_calls: int = 0
    reserved_money: float = 0.0


class Budget:
    """What may still be spent.

    A call first reserves what it could cost at most and is refused if that does not fit; afterwards the reservation
    is replaced by what it did cost. So the limits hold with any number of calls in flight.

    Args:
        limits: for the whole run.
        per_agent: for each agent, besides the run's.
    """

    def __init__(self, limits: Limits | None = None, per_agent: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.per_agent = per_agent
        self._run = _Account(self.limits)
        self._agents: dict[str, _Account] = {}
        self._opened = time.monotonic()

    @property
    def used(self) -> Usage:
        """Spent so far by the run."""
        return self._run.used

    def used_by(self, agent: str) -> Usage:
        """Spent so far by one agent."""
        account = self._agents.get(agent)
        return account.used if account else Usage()

    @property
    def elapsed(self) -> float:
        """Seconds since the budget was opened."""
        return time.monotonic() - self._opened

    def tokens_left(self, agent: str = "") -> int | None:
        """Tokens that a new call of this agent may reserve; None without a limit."""
        left = [
            account.limits.tokens - account.used.tokens - account.reserved_tokens
            for account in self._accounts(agent)
            if account.limits.tokens is not None
        ]
        return min(left) if left else None

    def reserve(self, agent: str, tokens: int, money: float = 0.0) -> None:
        """Set aside one call of at most ``tokens`` tokens and ``money`` US dollars.

        Raises:
            BudgetExceeded: it does not fit; the message names the limit.
        """
        accounts = self._accounts(agent)
        for account in accounts:
            whose = "run" if account is self._run else f"agent {agent}"
            limits, used = account.limits, account.used
            if limits.calls is not None and used.calls + account.reserved_calls + 1 > limits.calls:
                raise BudgetExceeded(f"the {whose}'s budget of {limits.calls} calls is spent")
            if limits.tokens is not None and used.tokens + account.reserved_tokens + tokens > limits.tokens:
                raise BudgetExceeded(
                    f"the {whose}'s budget of {limits.tokens} tokens has {limits.tokens - used.tokens} left, "
                    f"the next call may need {tokens}"
                )
            if limits.money is not None:
                left = limits.money - used.money - account.reserved_money
                if left <= 0 or money > left:
                    raise BudgetExceeded(
                        f"the {whose}'s budget of ${limits.money:g} is spent or set aside for calls under way; "
                        f"the next call may cost ${money:.2g}"
                    )
            if limits.seconds is not None and self.elapsed >= limits.seconds:
                raise BudgetExceeded(f"the {whose}'s budget of {limits.seconds:g} s is over")
        for account in accounts:
            account.reserved_tokens += tokens
            account.reserved_calls += 1
            account.reserved_money += money

    def settle(self, agent: str, reserved_tokens: int, usage: Usage | None, reserved_money: float = 0.0) -> None:
        """Replace a reservation by what the call cost; None for a call that failed without cost."""
        for account in self._accounts(agent):
            account.reserved_tokens -= reserved_tokens
            account.reserved_calls -= 1
            account.reserved_money -= reserved_money
            if usage is not None:
                account.used.add(usage)

    def _accounts(self, agent: str) -> tuple[_Account, ...]:
        account = self._agents.get(agent)
        if account is None:
            account = self._agents[agent] = _Account(self.per_agent or Limits())
        return (self._run, account)
