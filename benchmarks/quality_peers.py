"""OpenNMT-py and JoeyNMT, set up like our model: packages, patches, configurations."""

from typing import ClassVar

from quality_systems import BATCH, Peer, updates_per_epoch, write_yaml

MAX_LENGTH = 100  # tokens of an output
CHECKPOINT_EVERY = {"multi30k": 60, "cmudict": 300}  # updates, of OpenNMT-py
VALIDATE_EVERY = {"multi30k": 302, "cmudict": 864}  # updates, of JoeyNMT
METRICS = {"multi30k": "bleu", "cmudict": "acc"}  # for JoeyNMT's schedule and choice of model


class OpenNMT(Peer):
    """OpenNMT-py 3.5.1: Adam at 0.001, the rate that `onmt_train --help` recommends, constant by default.

    It validates once per epoch but does not choose a model by that: the newest checkpoint counts.
    """

    name, title = "onmt", "OpenNMT-py 3.5.1"
    install = (
        ("torch==2.13.0", "sentencepiece==0.2.0", "ctranslate2", "pyonmttok", "configargparse", "pyyaml"),
        ("numpy", "six", "tqdm", "waitress", "flask", "sacrebleu", "rapidfuzz", "fasttext-wheel", "spacy"),
        ("tensorboard", "pyahocorasick", "setuptools"),
        ("--no-deps", "OpenNMT-py==3.5.1"),  # it requires torch < 2.3 but runs with 2.13
    )
    variables: ClassVar = {
        "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"
    }  # a checkpoint holds an `argparse.Namespace`
    pattern = "model_step_*.pt"

    def command(self, task, data, folder, minutes):
        settings = {
            "data": {
                "corpus_1": {"path_src": f"{data}/train.src", "path_tgt": f"{data}/train.tgt"},
                "valid": {"path_src": f"{data}/valid.src", "path_tgt": f"{data}/valid.tgt"},
            },
            "save_data": f"{folder}/data",
            "src_vocab": f"{data}/src.vocab",
            "tgt_vocab": f"{data}/tgt.vocab",
            "src_vocab_size": 8000,
            "tgt_vocab_size": 8000,
            "save_model": f"{folder}/model",
            "seed": 1,
            "encoder_type": "brnn",
            "decoder_type": "rnn",
            "rnn_type": "LSTM",
            "word_vec_size": 128,
            "hidden_size": 256,
            "layers": 1,
            "global_attention": "general",
            "input_feed": 0,
            "bridge": True,
            "dropout": [0.3],
            "optim": "adam",
            "learning_rate": 0.001,
            "max_grad_norm": 1,
            "label_smoothing": 0.1,
            "batch_size": BATCH,
            "batch_type": "sents",
            "normalization": "tokens",
            "bucket_size": (updates_per_epoch(data) - 1)
            * BATCH,  # an epoch, within which rows are sorted by length
            "num_workers": 0,
            "param_init": 0.1,
            "report_every": 50,
            "train_steps": 10_000_000,
            "valid_steps": updates_per_epoch(data),
            "valid_batch_size": 4 * BATCH,
            "save_checkpoint_steps": CHECKPOINT_EVERY[task],
            "keep_checkpoint": 3,
        }
        file = folder / "onmt.yaml"
        write_yaml(file, settings)
        return [self.python, "-m", "onmt.bin.train", "-config", file]

    def decode(self, snapshot, task, data, core):
        output = snapshot.with_suffix(".out")
        arguments = ["-model", snapshot, "-src", data / "dev.src", "-output", output]
        arguments += ["-beam_size", 1, "-batch_size", BATCH, "-max_length", MAX_LENGTH]
        self.python_output(core, "-m", "onmt.bin.translate", *arguments)
        return output.read_text(encoding="utf-8").split("\n")[:-1]


class Joey(Peer):
    """JoeyNMT 2.3.0: Adam at 0.001, halved when the validation score stops rising, as in its examples.

    It writes a checkpoint when a validation is the best so far; the newest one counts.
    """

    name, title = "joey", "JoeyNMT 2.3.0"
    install = (("torch==2.13.0",), ("joeynmt==2.3.0", "importlib_metadata", "sentencepiece==0.2.0"))
    # Removes an argument that torch's scheduler no longer has.
    patches = (
        (
            "joeynmt/builders.py",
            '"mode": scheduler_mode,\n            "verbose": False,',
            '"mode": scheduler_mode,',
        ),
    )
    pattern = "model/[0-9]*.ckpt"

    def command(self, task, data, folder, minutes):
        file = folder / "joey.yaml"
        write_yaml(file, self._settings(task, data, folder / "model"))
        return [self.python, "-m", "joeynmt", "train", file, "--skip-test"]

    def decode(self, snapshot, task, data, core):
        settings = self._settings(task, data, snapshot.parent / "model")
        settings["testing"]["load_model"] = str(snapshot)
        file = snapshot.with_suffix(".yaml")
        write_yaml(file, settings)
        with (data / "dev.src").open() as sources:
            return self.python_output(core, "-m", "joeynmt", "translate", file, stdin=sources).splitlines()

    def _settings(self, task, data, model):
        sides = {
            side: {"lang": lang, "level": "word", "voc_file": f"{data}/{lang}.vocab"}
            for side, lang in (("src", "src"), ("trg", "tgt"))
        }
        return {
            "name": task,
            "joeynmt_version": "2.3.0",
            "model_dir": str(model),
            "use_cuda": False,
            "random_seed": 1,
            "data": {"train": f"{data}/train", "dev": f"{data}/valid", "dataset_type": "plain", **sides},
            "testing": {
                "beam_size": 1,
                "batch_size": BATCH,
                "batch_type": "sentence",
                "max_output_length": MAX_LENGTH,
                "eval_metrics": ["bleu"] if METRICS[task] == "bleu" else [],
                "sacrebleu_cfg": {"tokenize": "none"},
            },
            "training": {
                "optimizer": "adam",
                "learning_rate": 0.001,
                "learning_rate_min": 0.00001,
                "clip_grad_norm": 1.0,
                "normalization": "tokens",
                "label_smoothing": 0.1,
                "batch_size": BATCH,
                "batch_type": "sentence",
                "scheduling": "plateau",
                "patience": 5,
                "decrease_factor": 0.5,
                "early_stopping_metric": METRICS[task],
                "epochs": 1000,
                "validation_freq": VALIDATE_EVERY[task],
                "logging_freq": VALIDATE_EVERY[task],
                "print_valid_sents": [],
                "keep_best_ckpts": 1,
                "overwrite": True,
            },
            "model": self._model(),
        }

    @staticmethod
    def _model():
        shared = {
            "type": "recurrent",
            "rnn_type": "lstm",
            "embeddings": {"embedding_dim": 128, "scale": False},
            "dropout": 0.3,
            "num_layers": 1,
        }
        return {
            "initializer": "xavier_uniform",
            "embed_initializer": "normal",
            "embed_init_weight": 0.1,
            "bias_initializer": "zeros",
            "init_rnn_orthogonal": False,
            "lstm_forget_gate": 0.0,
            "encoder": {**shared, "hidden_size": 128, "bidirectional": True},
            "decoder": {
                **shared,
                "hidden_size": 256,
                "hidden_dropout": 0.3,
                "input_feeding": False,
                "init_hidden": "bridge",
                "attention": "luong",
            },
        }
