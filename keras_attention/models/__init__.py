"""Models that decode by themselves: on ids (Seq2Seq) and on texts (Translator)."""
