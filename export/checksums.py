"""Checksums of the files of a SavedModel, which `sha256sum --check` reads too."""

import hashlib
import re
from pathlib import Path

SUMS = "assets.extra/SHA256SUMS"


def write_sums(folder: Path) -> None:
    """Writes the SHA-256 of every file in a folder."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    lines = [f"{_digest(file)}  {file.relative_to(folder).as_posix()}\n" for file in files]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")


def check_sums(folder) -> None:
    """Raises `ValueError` unless the folder holds the files that are listed, unchanged."""
    folder = Path(folder)
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{SUMS} in {folder} cannot be read ({error}). An older version wrote the export, or it is "
            "damaged. Export the model again."
        ) from None
    listed = [re.fullmatch(r"([0-9a-f]{64})  (.+)", line) for line in lines]
    sums = {match[2]: match[1] for match in listed if match}
    if None in listed or not sums:
        raise ValueError(f"{folder} is damaged: {SUMS} is not a list of checksums.")
    for name, digest in sums.items():
        if not (folder / name).is_file() or _digest(folder / name) != digest:
            raise ValueError(f"{folder} is damaged: {name} has changed since it was written.")


def _digest(file):
    digest = hashlib.sha256()
    with file.open("rb") as content:
        while chunk := content.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()
