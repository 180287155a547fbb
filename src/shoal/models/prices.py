"""What tokens cost, by model name: a dated table that ships with shoal, and the user's own over it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from shoal.errors import InputError
from shoal.traces import Usage

SHIPPED = Path(__file__).with_name("prices.yaml")
VARIABLE = "SHOAL_PRICES"
_MEND = "Write models: {name: [dollars per million prompt tokens, dollars per million completion tokens]}."


class Price(NamedTuple):
    """US dollars for a million tokens read and a million tokens written."""

    prompt: float
    completion: float

    def cost(self, usage: Usage) -> float:
        """US dollars for that usage."""
        return (self.prompt * usage.prompt_tokens + self.completion * usage.completion_tokens) / 1e6


@dataclass(frozen=True)
class PriceTable:
    """Prices by the beginning of the model's name.

    Attributes:
        date: when the prices were read, "2026-03"; the user's file may give its own.
        prices: prefix -> price.
    """

    date: str
    prices: Mapping[str, Price]

    def find(self, model: str) -> Price | None:
        """The price under the longest prefix that fits, or None."""
        fitting = [p for p in self.prices if model == p or (model.startswith(p) and model[len(p)] in "-:@/")]
        return self.prices[max(fitting, key=len)] if fitting else None

    def known(self, model: str) -> bool:
        """Whether the table has a price for that model."""
        return self.find(model) is not None

    def cost(self, model: str, usage: Usage) -> float:
        """US dollars for a usage; 0 for a model that is not in the table (ask ``known``)."""
        price = self.find(model)
        return price.cost(usage) if price else 0.0


def price_table() -> PriceTable:
    """The table in force: the shipped one, with the user's entries over it.

    Raises:
        InputError: the user's file is missing, does not parse, or has a price that is not a pair of numbers from 0.
    """
    path = user_file()
    return _merged(path, path.stat().st_mtime_ns if path else 0)


def user_file() -> Path | None:
    """The user's own table: the file named by ``$SHOAL_PRICES``, else prices.yaml in the user's configuration.

    Raises:
        InputError: the file that the variable names is not there.
    """
    if named := os.environ.get(VARIABLE):
        path = Path(named).expanduser()
        if not path.is_file():
            raise InputError(VARIABLE, named, "There is no such file.")
        return path
    import platformdirs

    path = Path(platformdirs.user_config_dir("shoal")) / "prices.yaml"
    return path if path.is_file() else None


def known(model: str) -> bool:
    """Whether the table in force has a price for that model."""
    return price_table().known(model)


@cache
def _merged(path: Path | None, changed: int) -> PriceTable:
    shipped = _read(SHIPPED)
    if path is None:
        return shipped
    own = _read(path)
    return PriceTable(own.date or shipped.date, {**shipped.prices, **own.prices})


def _read(path: Path) -> PriceTable:
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"price table {path}", str(error).partition("\n")[0], _MEND) from None
    models = content.get("models") if isinstance(content, dict) else None
    if not isinstance(models, dict):
        raise InputError(f"price table {path}", content, _MEND)
    return PriceTable(str(content.get("date", "")), {str(m): _price(path, str(m), p) for m, p in models.items()})


def _price(path: Path, model: str, pair: Any) -> Price:
    match pair:
        case [int() | float() as prompt, int() | float() as completion] if prompt >= 0 and completion >= 0:
            return Price(float(prompt), float(completion))
        case _:
            raise InputError(f"price table {path}, {model}", pair, _MEND)
