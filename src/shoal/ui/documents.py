"""Systems and runs as plain documents: what the JSON interface sends and the pages show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from shoal.runs.folder import RunFolder
from shoal.runs.results import Results
from shoal.runs.study import Study
from shoal.studies.record import committed_result

Document = dict[str, Any]


def system_row(study: Study[Any]) -> Document:
    """A system as a line of the catalogue, with the verdicts of its committed standard run."""
    record = committed_result(study.name) or {}
    return {
        "name": study.name,
        "title": study.title,
        "paper": study.paper,
        "kind": study.kind,
        "engine": study.engine,
        "summary": study.summary,
        "evidence": record.get("evidence", []),
        "verdicts": dict(Counter(claim["verdict"] for claim in record.get("claims", []))),
        "vocabulary": {name: list(words) for name, words in vars(study.vocabulary).items()},
    }


def system_document(study: Study[Any]) -> Document:
    """All about a system: its line, its claims as committed (or only stated), its experiments and its settings."""
    record = committed_result(study.name)
    stated = [{"id": c.id, "statement": c.statement, "verdict": "not run", "note": c.note} for c in study.claims]
    return {
        **system_row(study),
        "claims": record["claims"] if record else stated,
        "means": record["means"] if record else [],
        "mechanism": [asdict(flow) for flow in study.mechanism],
        "experiments": [
            {"name": e.name, "variants": list(e.variants), "evidence": str(e.evidence), "model": e.model}
            for e in study.experiments
        ],
        "settings": study.config.model_json_schema(),
        "sizes": {size: dict(values) for size, values in study.sizes.items()},
    }


def run_row(folder: RunFolder) -> Document:
    """A run as a line of the list."""
    info = folder.info
    finished = info.get("finished")
    usage = info.get("usage", {})
    return {
        "id": folder.path.name,
        "name": info.get("name", ""),
        "kind": info.get("kind", ""),
        "size": info.get("size", ""),
        "status": folder.status(),
        "created": info.get("created", 0.0),
        "seconds": round(finished - info["created"], 1) if finished else None,
        "calls": usage.get("calls", 0),
        "tokens": usage.get("prompt_tokens", 0) + usage.get("completion_tokens", 0),
        "dollars": usage.get("money", 0.0),
        "verdicts": dict(Counter(claim["verdict"] for claim in info.get("claims", []))),
    }


def run_document(folder: RunFolder) -> Document:
    """All about a run but its events and single measurements."""
    info = folder.info
    kept = ("title", "paper", "seeds", "root_seed", "config", "models", "evidence", "machine", "versions", "skipped")
    return {
        **run_row(folder),
        **{name: info[name] for name in kept if name in info},
        "claims": [_flat(claim) for claim in info.get("claims", [])],
        "means": means(results_of(folder)),
        "failures": info.get("failures", []),
        "error": info.get("error"),
        "plots": sorted(path.name for path in (folder.path / "plots").glob("*.png")),
        "progress": progress(folder),
    }


def progress(folder: RunFolder) -> Document:
    """Finished trials and how many there will be; the total is None where a run does not say."""
    return {"done": len(folder.trials()), "total": folder.info.get("trials")}


def results_of(folder: RunFolder) -> Results:
    """The measurements of a run, finished or not."""
    results = Results()
    for key, record in folder.trials().items():
        results.add(*key, record["measurements"])
    return results


def means(results: Results) -> list[Document]:
    """Experiment, variant, metric: the mean over seeds with its interval."""
    rows = []
    for experiment in results.experiments():
        for variant in results.variants(experiment):
            for metric in results.metrics(experiment):
                seeds = results.seeds(experiment, variant, metric)
                if not seeds:
                    continue
                e = results.mean(experiment, variant, metric)
                rows.append(
                    {"experiment": experiment, "variant": variant, "metric": metric, "mean": e.value,
                     "ci_low": e.low, "ci_high": e.high, "seeds": len(seeds)}
                )  # fmt: skip
    return rows


def _flat(claim: Mapping[str, Any]) -> Document:
    """A claim of a run in the form of committed results: the estimate beside its interval."""
    return {
        **{name: claim[name] for name in ("id", "statement", "verdict", "evidence", "note")},
        **_estimate(claim.get("estimate")),
        "checks": [
            {"label": check["label"], "above": check["above"], "below": check["below"], **_estimate(check["estimate"])}
            for check in claim.get("checks", [])
        ],
    }


def _estimate(estimate: Mapping[str, Any] | None) -> Document:
    if estimate is None:
        return {"estimate": None, "ci_low": None, "ci_high": None, "n": 0}
    return {
        "estimate": estimate["value"], "ci_low": estimate["low"], "ci_high": estimate["high"], "n": estimate["n"]
    }  # fmt: skip


def comparison(runs: Sequence[tuple[str, Results]]) -> list[Document]:
    """Metrics that two or more runs have in common: each run's mean, and its difference from the first run.

    Differences are paired by seed where the runs share seeds.

    Args:
        runs: (id, measurements); the first is the baseline.
    """
    from shoal.stats import paired_difference

    base_id, base = runs[0]
    rows = []
    for experiment in base.experiments():
        for variant in base.variants(experiment):
            for metric in base.metrics(experiment):
                seeds = base.seeds(experiment, variant, metric)
                for name, other in runs[1:]:
                    shared = sorted(set(seeds) & set(other.seeds(experiment, variant, metric)))
                    if not shared:
                        continue
                    one = _at(base, experiment, variant, metric, shared)
                    two = _at(other, experiment, variant, metric, shared)
                    e = paired_difference(two, one)
                    rows.append(
                        {"experiment": experiment, "variant": variant, "metric": metric, "run": name,
                         "baseline": base_id, "difference": e.value, "ci_low": e.low, "ci_high": e.high,
                         "pairs": len(shared)}
                    )  # fmt: skip
    return rows


def _at(results: Results, experiment: str, variant: str, metric: str, seeds: Sequence[int]) -> list[float]:
    values = dict(
        zip(results.seeds(experiment, variant, metric), results.values(experiment, variant, metric), strict=True)
    )
    return [float(values[seed]) for seed in seeds]
