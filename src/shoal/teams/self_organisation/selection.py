"""Selection by contribution among answers that are already there, and how well an embedder serves it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from shoal.models.interface import Embedder
from shoal.models.recorded import Recordings
from shoal.tasks.answers import canonical
from shoal.tasks.problem import Question
from shoal.teams.agent import Agent
from shoal.teams.outcome import Outcome
from shoal.teams.protocols.aggregation import Opinion, conclude
from shoal.teams.self_organisation.contribution import (
    ContributionRule,
    aggregate,
    contributions,
    within_question_auc,
)
from shoal.teams.self_organisation.team import first_answers
from shoal.teams.session import Session

Source = Literal["reply", "answer"]


def answer_codes(question: Question, answers: Sequence[str | None]) -> list[int]:
    """Answers as small integers, the same for the same answer; -1 for none."""
    keys = [None if answer is None else canonical(question, answer) for answer in answers]
    known = {key: code for code, key in enumerate(dict.fromkeys(key for key in keys if key is not None))}
    return [-1 if key is None else known[key] for key in keys]


async def embed_teams(embedder: Embedder, texts: Sequence[Sequence[str | None]]) -> NDArray[np.float64]:
    """Embeddings [questions, agents, dimensions] of texts [questions][agents]; no text gives a zero row."""
    rows = await embedder.embed([text or "" for team in texts for text in team])
    return rows.reshape(len(texts), len(texts[0]), -1)


@dataclass
class FirstAnswers:
    """A team that only answers alone, and keeps what was said: for judging an embedder on real answers.

    Attributes:
        heard: question and first answers, by the question's id.
    """

    heard: dict[str, tuple[Question, list[Opinion]]] = field(default_factory=dict)

    async def __call__(
        self, question: Question, agents: Sequence[Agent], session: Session, **options: object
    ) -> Outcome:
        """Everybody answers alone; a plurality vote ends it."""
        opinions = await first_answers(question, agents, session)
        self.heard[question.id] = (question, opinions)
        return conclude(session, question, opinions, rounds=0)

    async def auc(self, embedder: Embedder, source: Source) -> NDArray[np.float64]:
        """Within-question AUC on the replies or on the final answers [questions with pairs of both sorts]."""
        teams = [self.heard[key] for key in sorted(self.heard)]
        texts = [[o.text if source == "reply" else o.answer for o in opinions] for _, opinions in teams]
        codes = [answer_codes(question, [o.answer for o in opinions]) for question, opinions in teams]
        return within_question_auc(await embed_teams(embedder, texts), codes)


class RecordedTeam:
    """Real models' recorded answers as a team that cannot talk: one round of SelfOrg, without steps 4 to 8.

    Args:
        recordings: who answered what.
        count: problems used, from the first one.
        chance: deals out the members' order anew for each problem. The order decides ties only, but a fixed one would
            favour or harm the model that is listed first.

    Attributes:
        codes: answers as integers, in the drawn order [problems, members]; -1 for none.
        correct: whether each member is right, in the drawn order [problems, members].
    """

    def __init__(self, recordings: Recordings, count: int, chance: np.random.Generator) -> None:
        self._recordings = recordings
        self._by_model = recordings.correct.T[:count].astype(float)
        self._order = np.argsort(chance.random(self._by_model.shape), axis=1)
        codes = [
            answer_codes(problem.question, [recordings.answers[m][i] for m in recordings.models])
            for i, problem in enumerate(recordings.problems[:count])
        ]
        self.codes: NDArray[np.int_] = np.take_along_axis(np.array(codes), self._order, axis=1)
        self.correct: NDArray[np.float64] = np.take_along_axis(self._by_model, self._order, axis=1)

    def random_member(self) -> NDArray[np.float64]:
        """Chance that a member drawn at random is right [problems]."""
        return np.asarray(self.correct.mean(axis=1))

    def best_member(self) -> NDArray[np.float64]:
        """Whether the model that is best over all these problems, known by hindsight only, is right [problems]."""
        return np.asarray(self._by_model[:, self._by_model.mean(axis=0).argmax()])

    def plurality(self) -> NDArray[np.float64]:
        """Whether the plurality's answer is right [problems]; ties go to the first in the drawn order."""
        same = (self.codes[:, :, None] == self.codes[:, None, :]) & (self.codes[:, :, None] >= 0)
        return self._correct_of(same.sum(axis=2).argmax(axis=1))

    async def embeddings(self, embedder: Embedder, source: Source) -> NDArray[np.float64]:
        """Embeddings of whole replies or of final answers, in the drawn order [problems, members, dimensions]."""
        held = self._recordings.texts if source == "reply" else self._recordings.answers
        texts = [[held[m][i] for m in self._recordings.models] for i in range(len(self.codes))]
        return np.take_along_axis(await embed_teams(embedder, texts), self._order[:, :, None], axis=1)

    def selected(self, embeddings: NDArray[np.float64], rule: ContributionRule) -> NDArray[np.float64]:
        """Whether the answer nearest the contribution-weighted centre is right [problems]."""
        return self._correct_of(aggregate(embeddings, contributions(embeddings, rule)))

    def _correct_of(self, chosen: NDArray[np.intp]) -> NDArray[np.float64]:
        return np.asarray(self.correct[np.arange(len(self.correct)), chosen])
