"""yoyodyne, set up like our model: packages and configuration."""

from typing import ClassVar

from quality_systems import BATCH, Peer, write_yaml


class Yoyodyne(Peer):
    """yoyodyne 0.5.27: its LSTM with soft attention, Adam at its default of 0.001.

    The checkpoint with the best accuracy counts. For small vocabularies only. Its attention is additive and
    comes before the recurrent step, which takes the context as an input.
    """

    name, title = "yoyodyne", "yoyodyne 0.5.27"
    tasks = ("cmudict",)
    install = (
        ("torch==2.13.0", "numpy", "lightning>=2.6,<3", "jsonargparse[signatures,omegaconf]>=4.40,<5"),
        ("omegaconf>=2.3", "rich>=15", "torchmetrics>=1.8.2", "maxwell", "wandb", "PyYAML"),
        ("--no-deps", "yoyodyne==0.5.27"),  # it requires torchvision and torchaudio but imports neither
    )
    variables: ClassVar = {"WANDB_MODE": "disabled"}
    pattern = "model/step=*.ckpt"

    def command(self, task, data, folder, minutes):
        for name in ("train", "valid"):
            sides = [(data / f"{name}.{side}").read_text().splitlines() for side in ("src", "tgt")]
            pairs = ("\t".join(pair) for pair in zip(*sides, strict=True))
            (folder / f"{name}.tsv").write_text("".join(f"{pair}\n" for pair in pairs))
        file = folder / "yoyodyne.yaml"
        files = {"train": f"{folder}/train.tsv", "val": f"{folder}/valid.tsv"}
        write_yaml(file, self._settings(folder, files) | {"seed_everything": 1})
        return [self.venv / "bin" / "yoyodyne", "fit", "--config", file]

    def decode(self, snapshot, task, data, core):
        output, file = snapshot.with_suffix(".out"), snapshot.with_suffix(".yaml")
        settings = self._settings(snapshot.parent, {"predict": f"{data}/dev.src", "target_col": 0})
        write_yaml(file, settings | {"prediction": {"path": str(output)}})
        self.python_output(
            core, self.venv / "bin" / "yoyodyne", "predict", "--config", file, "--ckpt_path", snapshot
        )
        return output.read_text(encoding="utf-8").split("\n")[:-1]

    def _settings(self, folder, data):
        encoder = {"embedding_size": 128, "hidden_size": 128, "bidirectional": True, "dropout": 0.3}
        return {
            "trainer": {
                "accelerator": "cpu",
                "devices": 1,
                "max_epochs": 1000,
                "gradient_clip_val": 3,
                "val_check_interval": 0.5,
                "enable_progress_bar": False,
                "default_root_dir": str(folder),
            },
            "model": {
                "class_path": "yoyodyne.models.SoftAttentionLSTMModel",
                "init_args": {
                    "source_encoder": {
                        "class_path": "yoyodyne.models.modules.LSTMEncoder",
                        "init_args": encoder,
                    },
                    "embedding_size": 128,
                    "decoder_hidden_size": 256,
                    "decoder_dropout": 0.3,
                    "label_smoothing": 0.1,
                    "optimizer": {"class_path": "yoyodyne.optimizers.Adam", "init_args": {"lr": 0.001}},
                },
            },
            "data": {
                "model_dir": str(folder / "index"),
                "source_sep": " ",
                "target_sep": " ",
                "tie_embeddings": False,
                "batch_size": BATCH,
                **data,
            },
            "checkpoint": {
                "dirpath": str(folder / "model"),
                "filename": "{step}",
                "monitor": "val_accuracy",
                "mode": "max",
            },
        }
