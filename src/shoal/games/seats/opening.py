"""From the string that names a seat to the seat."""

from __future__ import annotations

from shoal.errors import UnknownName
from shoal.games.seats.language import LanguageSeat
from shoal.games.seats.learner import QSeat
from shoal.games.seats.person import PersonSeat
from shoal.games.seats.seat import ActionSeat, AutomatonSeat, BestReplySeat, RandomSeat, Seat
from shoal.games.seats.solver import SOLVERS, SolverSeat
from shoal.games.strategies.catalogue import STRATEGIES, make_strategy
from shoal.models.cache import CachedModel, CallCache
from shoal.models.interface import Model
from shoal.models.opening import SCHEMES, open_model
from shoal.runs.settings import parse_assignments
from shoal.stats import Evidence

OTHERS = {
    "random": "any action with equal chance",
    "always:ACTION": "one action",
    "best-reply": "the best answer to how the others played so far",
    "q-learning": "a tabular learner that improves from match to match",
    "me": "a person at the terminal",
}


def open_seat(spec: str, *, rounds: int = 200, seed: int = 0, cache: CallCache | None = None) -> Seat:
    """The seat that ``spec`` names.

    Args:
        spec: a strategy of ``shoal list strategies``, one of SOLVERS or OTHERS, or a model (local:smollm2, http://...).
        rounds: length of the game, for strategies that count.
        seed: of scripted models.
        cache: replies of real models are kept there.

    Raises:
        UnknownName: nothing of that name, with the nearest names.
        InputError: its settings are not usable, or the model is not ready.
    """
    name, colon, rest = spec.partition(":")
    if colon and name in (*SCHEMES, "https"):
        model: Model = open_model(spec, answer_key={} if name == "scripted" else None, seed=seed)
        if cache is not None and model.evidence in (Evidence.LOCAL, Evidence.ENDPOINT):
            model = CachedModel(model, cache)
        return LanguageSeat(model)
    if spec in SOLVERS:
        return SolverSeat(spec)
    if name == "always" and rest:
        return ActionSeat(rest)
    if name == "q-learning":
        given = parse_assignments([part for part in rest.split(",") if part], "seat q-learning")
        known = ("rate", "discount", "explore", "decay", "least")
        for key in given:
            if key not in known:
                raise UnknownName("seat q-learning", key, known)
        return QSeat(**given)
    plain: dict[str, type[Seat]] = {"random": RandomSeat, "best-reply": BestReplySeat, "me": PersonSeat}
    if spec in plain:
        return plain[spec]()
    if name in STRATEGIES:
        return AutomatonSeat(make_strategy(spec, rounds))
    raise UnknownName("seat", spec, [*STRATEGIES.names(), *SOLVERS, *OTHERS, *(f"{s}:..." for s in SCHEMES)])


def split_seats(text: str) -> list[str]:
    """The seats of a list separated by commas; a part key=value belongs to the seat before it."""
    seats: list[str] = []
    for part in text.split(","):
        head = part.partition(":")[0]
        if seats and "=" in head and ":" in seats[-1]:
            seats[-1] += f",{part}"
        elif part.strip():
            seats.append(part.strip())
    return seats
