"""Dr. MAS: each agent's advantages are normalised with the rewards of its own calls (arXiv 2602.08847).

Departures: population deviations (the released code divides by n - 1), and a call that is alone in its group gets 0
(the code gives it its raw reward).
"""

from __future__ import annotations

from pydantic import Field

from shoal.posttrain.advantages import Mode
from shoal.posttrain.method import Method, MethodSettings, method


class DrMasSettings(MethodSettings):
    """Settings of Dr. MAS."""

    advantage: Mode = Field("agent", description="agent is the paper's; the others are its baselines and ablations.")
    penalty: float = Field(0.1, ge=0, le=10, description="Taken from the reward of a call whose reply was cut short.")


@method("dr-mas")
class DrMas(Method):
    """Each agent's calls are compared with its own (Dr. MAS, arXiv 2602.08847)."""

    schema = DrMasSettings
