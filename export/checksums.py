"""Checksums of the files of a SavedModel."""

from pathlib import Path

from keras_attention.checksums import digest_of, read_sums, written_sums
from keras_attention.files import blocks

SUMS = "assets.extra/SHA256SUMS"


def write_sums(folder: Path) -> None:
    """Writes the SHA-256 of every file in a folder."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    digests = {file.relative_to(folder).as_posix(): digest_of(blocks(file)) for file in files}
    (folder / SUMS).write_text(written_sums(digests), encoding="utf-8")


def check_sums(folder) -> None:
    """Raises `ValueError` unless the folder holds the files that are listed, unchanged."""
    folder = Path(folder)
    try:
        text = (folder / SUMS).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{SUMS} in {folder} cannot be read ({error}). An older version wrote the export, or it is "
            "damaged. Export the model again."
        ) from None
    sums = read_sums(text)
    if not sums:
        raise ValueError(f"{folder} is damaged: {SUMS} is not a list of checksums.")
    for name, digest in sums.items():
        if not (folder / name).is_file() or digest_of(blocks(folder / name)) != digest:
            raise ValueError(f"{folder} is damaged: {name} has changed since it was written.")
