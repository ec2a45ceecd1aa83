"""The rules, stored in a model, by which SentencePiece normalizes a text before it splits it."""

import functools
import sys
import unicodedata
from collections.abc import Iterator

SURROGATES = range(0xD800, 0xE000)


@functools.lru_cache(maxsize=4)
def rules_of(form: str | None, cleans: bool, separators: str = "") -> str:
    """The text of a `normalization_rule_tsv`: what is replaced, a tab, what by, as code points.

    SentencePiece replaces the longest text that matches a rule, and only once. So NFC composes a letter
    from its whole decomposition or from its canonical pair. It does not sort marks that are out of
    canonical order.

    Args:
        form: `"NFC"`, `"NFD"`, `"NFKD"`, or None. SentencePiece has its own rules for NFKC.
        cleans: whether white space becomes a space and other control characters are dropped, as in
            SentencePiece's rule `nmt_nfkc`.
        separators: characters that become spaces.
    """
    rules = {}
    for character in map(chr, (i for i in range(sys.maxunicode + 1) if i not in SURROGATES)):
        if form == "NFC":
            rules |= dict.fromkeys(_decompositions(character), character)
        normal = unicodedata.normalize(form, character) if form else character
        if normal != character:
            rules[character] = normal
    if cleans:
        rules |= _cleaning()
    rules |= dict.fromkeys(separators, " ")
    return "".join(f"{_code_points(a)}\t{_code_points(b)}\n" for a, b in rules.items())


def _decompositions(character) -> Iterator[str]:
    """The texts from which NFC composes a character."""
    whole = unicodedata.normalize("NFD", character)
    if whole == character or unicodedata.normalize("NFC", whole) != character:
        return
    yield whole
    parts = unicodedata.decomposition(character).split()
    if len(parts) == 2:
        yield "".join(chr(int(part, 16)) for part in parts)
    elif len(whole) == 3 and not parts:  # a Hangul syllable: its first two letters may be composed
        yield unicodedata.normalize("NFC", whole[:2]) + whole[2]


def _cleaning() -> dict[str, str]:
    """What SentencePiece's own rule turns white space and control characters into."""
    import sentencepiece

    normalizer = sentencepiece.SentencePieceNormalizer(rule_name="nmt_nfkc")
    found = {}
    for character in map(chr, range(0x10000)):
        if unicodedata.category(character) in ("Cc", "Cf", "Zs", "Zl", "Zp"):
            middle = normalizer.normalize(f"a{character}b").replace("\u2581", " ").strip()[1:-1]
            if middle in ("", " ") and middle != character:
                found[character] = middle
    return found


def _code_points(text: str) -> str:
    return " ".join(f"{ord(character):X}" for character in text)
