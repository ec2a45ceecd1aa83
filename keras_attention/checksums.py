"""Lists of SHA-256 checksums, as `sha256sum` writes and checks them."""

import hashlib
import re
from collections.abc import Iterable, Mapping


def digest_of(parts: Iterable[bytes]) -> str:
    """The SHA-256 of a content in parts, in hexadecimal digits."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def written_sums(digests: Mapping[str, str]) -> str:
    """The text of a list of checksums by name."""
    return "".join(f"{digest}  {name}\n" for name, digest in digests.items())


def read_sums(text: str) -> dict[str, str]:
    """The checksums of a list by name; empty if the text is not such a list."""
    listed = [re.fullmatch(r"([0-9a-f]{64})  (.+)", line) for line in text.splitlines()]
    return {} if None in listed else {match[2]: match[1] for match in listed}
