"""Checks how large a zip archive becomes before anything is unpacked."""

import zipfile
from pathlib import Path

ALWAYS, RATIO = 64 * 2**20, 20  # bytes; models rarely compress to less than half of their size


def check_unpacked_size(path) -> None:
    """Raises `ValueError` for an archive that unpacks to more than 64 MiB plus 20 times its own size.

    Raises:
        OSError, zipfile.BadZipFile: the file cannot be read or is not an archive.
    """
    with zipfile.ZipFile(path) as archive:
        size = sum(member.file_size for member in archive.infolist())
    most = ALWAYS + RATIO * Path(path).stat().st_size
    if size > most:
        raise ValueError(f"{path} would unpack to {size:,} bytes; at most {most:,} are allowed.")
