"""Lists of SHA-256 checksums, as `sha256sum` writes and checks them."""

import hashlib
import re
from collections.abc import Mapping
from typing import IO


def digest_of(file: IO[bytes]) -> str:
    """The SHA-256 of what is left to read of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    while chunk := file.read(2**20):
        digest.update(chunk)
    return digest.hexdigest()


def written_sums(digests: Mapping[str, str]) -> str:
    """The text of a list of checksums by name."""
    return "".join(f"{digest}  {name}\n" for name, digest in digests.items())


def read_sums(text: str) -> dict[str, str]:
    """The checksums of a list by name; empty if the text is not such a list."""
    listed = [re.fullmatch(r"([0-9a-f]{64})  (.+)", line) for line in text.splitlines()]
    return {} if None in listed else {match[2]: match[1] for match in listed}
