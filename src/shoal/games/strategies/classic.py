"""The classic strategies of the iterated prisoner's dilemma.

Axelrod (1984); Nowak and Sigmund (1992, 1993) for generous tit-for-tat and Pavlov; Press and Dyson (2012) and Stewart
and Plotkin (2012) for the zero-determinant ones; the others as described in Axelrod-Python's documentation.
"""

from __future__ import annotations

from shoal.games.strategies.automaton import (
    COOPERATE,
    DEFECT,
    Automaton,
    counter,
    cycle,
    looking_back,
    machine,
    memory_one,
)
from shoal.games.strategies.catalogue import strategy


@strategy("cooperator", "always cooperates")
def cooperator() -> Automaton:
    """Action 0 for ever."""
    return cycle("", [COOPERATE])


@strategy("defector", "always defects")
def defector() -> Automaton:
    """Action 1 for ever."""
    return cycle("", [DEFECT])


@strategy("coin", "cooperates with a fixed chance")
def coin(chance: float = 0.5) -> Automaton:
    """Whatever happens."""
    return machine("", [chance], [[[0, 0], [0, 0]]])


@strategy("alternator", "does the opposite of what it did")
def alternator() -> Automaton:
    """Cooperates first."""
    return memory_one("", 1, 0, 0, 1, 1)


@strategy("cycler-ccd", "cooperates twice, defects once, again and again")
def cycler_ccd() -> Automaton:
    """A periodic player."""
    return cycle("", [COOPERATE, COOPERATE, DEFECT])


@strategy("tit-for-tat", "cooperates, then does what the other did")
def tit_for_tat() -> Automaton:
    """Rapoport's winner of both of Axelrod's tournaments."""
    return memory_one("", 1, 1, 0, 1, 0)


@strategy("suspicious-tit-for-tat", "tit-for-tat that defects first")
def suspicious_tit_for_tat() -> Automaton:
    """Boyd and Lorberbaum (1987)."""
    return memory_one("", 0, 1, 0, 1, 0)


@strategy("bully", "defects first, then does the opposite of what the other did")
def bully() -> Automaton:
    """Reverse tit-for-tat."""
    return memory_one("", 0, 0, 1, 0, 1)


@strategy("tit-for-two-tats", "defects after two defections in a row")
def tit_for_two_tats() -> Automaton:
    """Forgives a single one."""
    return looking_back("", 2, lambda past: float(past != (1, 1)))


@strategy("two-tits-for-tat", "defects twice after a defection")
def two_tits_for_tat() -> Automaton:
    """Punishes longer."""
    return looking_back("", 2, lambda past: float(1 not in past))


@strategy("hard-tit-for-tat", "defects if the other did in the last three rounds")
def hard_tit_for_tat() -> Automaton:
    """Slower to forgive."""
    return looking_back("", 3, lambda past: float(1 not in past))


@strategy("hard-tit-for-two-tats", "defects if the other did twice in a row in the last three rounds")
def hard_tit_for_two_tats() -> Automaton:
    """Forgives single ones, remembers pairs."""
    return looking_back("", 3, lambda past: float(past[:2] != (1, 1) and past[1:] != (1, 1)))


@strategy("generous-tit-for-tat", "tit-for-tat that forgives with a chance")
def generous_tit_for_tat(forgiveness: float = 1 / 3) -> Automaton:
    """One third is optimal for payoffs 5, 3, 1, 0."""
    return memory_one("", 1, 1, forgiveness, 1, forgiveness)


@strategy("joss", "tit-for-tat that defects now and then")
def joss(sneak: float = 0.1) -> Automaton:
    """Answers cooperation by defection with chance ``sneak``."""
    return memory_one("", 1, 1 - sneak, 0, 1 - sneak, 0)


@strategy("grim", "cooperates until the other defects once, then never again")
def grim() -> Automaton:
    """Friedman's trigger strategy."""
    return machine("", [1, 0], [[[0, 1], [0, 1]], [[1, 1], [1, 1]]])


@strategy("pavlov", "repeats what paid, changes what did not")
def pavlov() -> Automaton:
    """Win-stay, lose-shift."""
    return memory_one("", 1, 1, 0, 0, 1)


@strategy("stochastic-pavlov", "pavlov with a trembling hand")
def stochastic_pavlov(tremble: float = 0.05) -> Automaton:
    """Does the other thing with chance ``tremble``, after the first round."""
    return memory_one("", 1, 1 - tremble, tremble, tremble, 1 - tremble)


@strategy("win-shift-lose-stay", "the opposite of pavlov")
def win_shift_lose_stay() -> Automaton:
    """Defects first."""
    return memory_one("", 0, 0, 1, 1, 0)


@strategy("firm-but-fair", "tit-for-tat that makes up after mutual defection, mostly")
def firm_but_fair() -> Automaton:
    """Frean (1994)."""
    return memory_one("", 1, 1, 0, 1, 2 / 3)


@strategy("zd-extort-2", "zero-determinant: claims twice the other's surplus")
def zd_extort_2() -> Automaton:
    """Its surplus over mutual defection is at least twice the other's."""
    return memory_one("", 1, 8 / 9, 1 / 2, 1 / 3, 0)


@strategy("zd-generous-2", "zero-determinant: takes twice the other's loss")
def zd_generous_2() -> Automaton:
    """Its shortfall from mutual cooperation is twice the other's."""
    return memory_one("", 1, 1, 1 / 8, 1, 1 / 4)


@strategy("desperate", "cooperates after mutual defection only")
def desperate() -> Automaton:
    """First at random (van den Berg and Weissing 2015)."""
    return memory_one("", 0.5, 0, 0, 0, 1)


@strategy("hopeless", "cooperates unless both did")
def hopeless() -> Automaton:
    """First at random (van den Berg and Weissing 2015)."""
    return memory_one("", 0.5, 0, 1, 1, 1)


@strategy("willing", "cooperates unless both defected")
def willing() -> Automaton:
    """First at random (van den Berg and Weissing 2015)."""
    return memory_one("", 0.5, 1, 1, 1, 0)


@strategy("go-by-majority", "does what the other did more often")
def go_by_majority(rounds: int = 200) -> Automaton:
    """Cooperates on a tie."""
    return counter("", rounds, lambda count: float(count >= 0))


@strategy("hard-go-by-majority", "does what the other did more often, defects on a tie")
def hard_go_by_majority(rounds: int = 200) -> Automaton:
    """Defects first."""
    return counter("", rounds, lambda count: float(count > 0))


@strategy("prober", "defects once to see who retaliates, exploits who does not")
def prober() -> Automaton:
    """Plays D, C, C; defects for ever if the other cooperated in rounds 2 and 3, else plays tit-for-tat."""
    follows = [
        [[1, 1], [1, 1]],  # 0: first round, defects
        [[2, 3], [2, 3]],  # 1: second, cooperates
        [[4, 6], [4, 6]],  # 2: third, the other cooperated in the second
        [[5, 6], [5, 6]],  # 3: third, it did not
        [[4, 4], [4, 4]],  # 4: defects for ever
        [[5, 6], [5, 6]],  # 5: tit-for-tat, cooperates
        [[5, 6], [5, 6]],  # 6: tit-for-tat, defects
    ]
    return machine("", [0, 1, 1, 1, 0, 1, 0], follows)
