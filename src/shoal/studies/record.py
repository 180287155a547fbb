"""Committed results: what the standard run of a study came to, as kept in ``results/NAME.json``."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from shoal.runs.folder import write_atomically
from shoal.runs.trials import Summary
from shoal.stats import Finding


def results_folder() -> Path | None:
    """The checkout's ``results`` folder, or None when shoal runs from an installed package."""
    root = Path(__file__).resolve().parents[3]
    return root / "results" if (root / "pyproject.toml").is_file() else None


@cache
def committed_result(name: str) -> dict[str, Any] | None:
    """The committed document of a study, or None."""
    folder = results_folder()
    path = folder / f"{name}.json" if folder else None
    if path is None or not path.is_file():
        return None
    document: dict[str, Any] = orjson.loads(path.read_bytes())
    return document


def claim_rows(findings: list[Finding]) -> list[dict[str, Any]]:
    """Claims as the command line prints them: id, statement, verdict, estimate, interval, n, evidence, checks."""
    rows = []
    for f in findings:
        e = f.estimate
        rows.append(
            {
                "id": f.id,
                "statement": f.statement,
                "verdict": str(f.verdict),
                "estimate": _finite(e.value) if e else None,
                "ci_low": _finite(e.low) if e else None,
                "ci_high": _finite(e.high) if e else None,
                "n": e.n if e else 0,
                "evidence": str(f.evidence),
                "note": f.note,
                "checks": [
                    {
                        "label": c.label,
                        "estimate": _finite(c.estimate.value),
                        "ci_low": _finite(c.estimate.low),
                        "ci_high": _finite(c.estimate.high),
                        "n": c.estimate.n,
                        "above": c.above,
                        "below": c.below,
                        "verdict": str(c.verdict),
                    }
                    for c in f.checks
                ],
            }
        )
    return rows


def document(summary: Summary) -> dict[str, Any]:
    """A run as one JSON document: what `shoal run --json` prints and ``results/`` keeps."""
    info = summary.folder.info
    means = []
    for experiment in summary.results.experiments():
        for variant in summary.results.variants(experiment):
            for metric in summary.results.metrics(experiment):
                if summary.results.seeds(experiment, variant, metric):
                    e = summary.results.mean(experiment, variant, metric)
                    means.append(
                        {
                            "experiment": experiment,
                            "variant": variant,
                            "metric": metric,
                            "evidence": summary.evidence[experiment],
                            "mean": _finite(e.value),
                            "ci_low": _finite(e.low),
                            "ci_high": _finite(e.high),
                            "seeds": len(summary.results.seeds(experiment, variant, metric)),
                        }
                    )
    return {
        "name": info["name"],
        "run_dir": str(summary.folder.path),
        "status": info["status"],
        "size": info["size"],
        "seeds": info["seeds"],
        "evidence": sorted(set(summary.evidence.values()) if not summary.skipped else _used(summary)),
        "claims": claim_rows(summary.findings),
        "means": means,
        "skipped": summary.skipped,
        "failures": [{"experiment": f.experiment, "variant": f.variant, "seed": f.seed} for f in summary.failures],
        "usage": info.get("usage", {}),
        "config": info["config"],
        "models": info["models"],
        "machine": info["machine"],
        "versions": info["versions"],
        "seconds": round(float(info["finished"]) - float(info["created"]), 1),
        "reused_trials": summary.reused,
    }


def commit_result(summary: Summary, folder: Path) -> Path:
    """Write the document of a run to ``folder/NAME.json``, without what names this machine's folders."""
    kept = document(summary)
    for private in ("run_dir", "reused_trials"):
        kept.pop(private)
    path = folder / f"{kept['name']}.json"
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(path, orjson.dumps(kept, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    return path


def _used(summary: Summary) -> set[str]:
    return {e for name, e in summary.evidence.items() if name not in summary.skipped}


def _finite(x: float) -> float | None:
    return float(x) if math.isfinite(x) else None
