"""The values that options can take. The command line reads them before it imports Keras."""

BACKENDS = ("tensorflow", "jax", "torch")  # of Keras
KINDS = ("char", "word", "bpe", "unigram")  # of tokenizers
COLUMNS = ("source", "target", "features")  # of a file; features are optional
UNICODE_FORMS = ("NFC", "NFD", "NFKC", "NFKD")
CELLS = ("lstm", "gru")
SCORES = ("dot", "scaled_dot", "general", "additive", "concat", "location", "coverage")
NORMALIZERS = ("softmax", "sparsemax", "entmax15", "local_m", "local_p", "monotonic", "chunkwise")
HEADS = ("dense", "tied", "pointer", "hard", "hard_monotonic")
STRATEGIES = {  # each with the options that belong to it alone
    "greedy": frozenset(),
    "beam": frozenset({"beam", "length_penalty", "coverage_penalty", "n_best"}),
    "sample": frozenset({"temperature", "top_k", "top_p", "seed"}),
}
AVERAGE = "average"  # the length penalty that divides by the length
BEAM_WIDTH = 5
RESCORE_WEIGHT = 0.5  # of the second run
AVERAGES = ("probabilities", "log_probabilities")  # how an ensemble averages
TARGETS = ("teacher", "nearest", "both")  # what a student learns from
MAX_LAYERS = 100
LONGEST = 2**16  # ids of a text
SELECTIONS = ("token_accuracy", "exact_match", "wer", "bleu")  # figures that choose the best epoch
TOO_LONG = ("cut", "refuse")  # what happens to a text over the limit
