"""Zip archives: their unpacked size and their checksums, which are checked before anything else is read."""

import zipfile
from pathlib import Path

from keras_attention.checksums import digest_of, read_sums, written_sums

ALWAYS, RATIO = 64 * 2**20, 20  # bytes; models rarely compress to less than half of their size
SUMS = "SHA256SUMS"


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


def add_sums(path) -> None:
    """Adds the list of its members' checksums to an archive."""
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(SUMS, written_sums(_digests(archive)))


def check_sums(path) -> None:
    """Raises `ValueError` if an archive has a list of checksums and its members differ from it."""
    with zipfile.ZipFile(path) as archive:
        if SUMS not in archive.namelist():
            return
        listed = read_sums(archive.read(SUMS).decode("utf-8"))
        digests = _digests(archive)
    if not listed:
        raise ValueError(f"{SUMS} in it is not a list of checksums")
    if listed != digests:
        changed = sorted({name for name, _ in listed.items() ^ digests.items()})
        raise ValueError(f"{', '.join(changed)} in it changed after {SUMS} was written")


def _digests(archive):
    digests = {}
    for name in archive.namelist():
        if name != SUMS:
            with archive.open(name) as member:
                digests[name] = digest_of(iter(lambda member=member: member.read(2**20), b""))
    return digests
