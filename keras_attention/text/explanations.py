"""`explain` for translators of texts: everything that a model computes for one text."""

from collections.abc import Mapping

from keras_attention.decoding.explanation import Explanation
from keras_attention.text.inputs import as_texts, batch_of, source_pieces, source_rows


class ExplainsTexts:
    """`explain` for a translator of texts, see `TranslatesTexts`.

    A translator that has one h and one C at each step has `explain_ids(source, tokens, weights,
    temperature)`, which takes a source of one row, as in `decode_ids`, and returns an `Explanation` without
    pieces.
    """

    def explain(
        self,
        text: str | bytes,
        tokens: dict | None = None,
        weights: dict | str | None = None,
        temperature: float = 1.0,
        features: str | bytes | None = None,
    ) -> Explanation:
        """Translates one text greedily and returns everything that each step computed.

        Args:
            text: `str`, or UTF-8 `bytes`.
            tokens: what if other pieces were chosen: a dict from steps, counted from 0, to pieces such as
                those in `target_pieces`, or to ids.
            weights: what if the model looked elsewhere: a dict from steps to attention weights (S,), or to
                `"uniform"`, or `"uniform"` for every step. A negative weight means the model's own; several
                heads all get the same weights.
            temperature: divides the log-probabilities, from 0.001 to 1000. The choice stays the same.
            features: the features of the text, for a model that was trained with them.

        Returns:
            `Explanation`, a named tuple of NumPy arrays: `memory` (S, D), and for each step `fed`,
            `embedding`, `h`, `scores`, `weights`, `context`, `vector`, `log_probs` and `tokens`; then the
            `source_pieces`, the `target_pieces` and the `text`. The steps are in the order in which they
            were written, also if that is from right to left.

        Raises:
            TypeError, ValueError: not a text, a text that is too long if `too_long` is `"refuse"`, a change
                that is impossible, or a model whose steps cannot be explained, such as an `Ensemble`.

        Example:
            found = translator.explain("5.4.18", weights="uniform")
            found.context - translator.explain("5.4.18").context
        """
        if not hasattr(self, "explain_ids"):
            raise ValueError(f"A {type(self).__name__} has no h and C of its own. Explain its models.")
        source, pieces = self._one_source(text, features)
        ids = tokens
        if isinstance(tokens, Mapping):
            ids = {step: self.target_tokenizer.id_of(piece) for step, piece in tokens.items()}
        found = self.explain_ids(source, ids, weights, temperature)
        written = found.tokens[None, ::-1] if self.right_to_left else found.tokens[None]
        return found._replace(
            source_pieces=pieces,
            target_pieces=self.target_tokenizer.pieces(found.tokens),
            text=self.target_tokenizer.texts_of(written)[0],
        )

    def _one_source(self, text, features):
        """A batch of one text, and the pieces of its memory."""
        texts = as_texts("text", [text])
        (row,) = source_rows(self, texts, None if features is None else [features])
        return batch_of([row]), source_pieces(self, row)
