"""Short trainings without files."""

import lightning

from sognet.data import Splits, StructureDataModule


def fit(module, graphs, callbacks, batch_size=4, ckpt_path=None, **settings):
    settings = {"max_epochs": 3} | settings
    trainer = lightning.Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, inference_mode=False, num_sanity_val_steps=0, log_every_n_steps=1,
        callbacks=callbacks, **settings,
    )  # fmt: skip
    splits = Splits("test", train=graphs.structures, val=graphs.structures)
    data = StructureDataModule(splits, 4.0, batch_size=batch_size)
    trainer.fit(module, datamodule=data, ckpt_path=ckpt_path, weights_only=False if ckpt_path else None)
    return trainer


def metrics_of_epochs(module, splits, device, batch_size, max_epochs, callbacks=()):
    """What is logged, after each epoch."""
    found = []

    class Collect(lightning.Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            found.append({name: value.item() for name, value in trainer.callback_metrics.items()})

    trainer = lightning.Trainer(
        accelerator=device, devices=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        num_sanity_val_steps=0, enable_model_summary=False, use_distributed_sampler=False, max_epochs=max_epochs,
        log_every_n_steps=1, inference_mode=False, callbacks=[*callbacks, Collect()],
    )  # fmt: skip
    trainer.fit(module, StructureDataModule(splits, 4.0, batch_size=batch_size, num_workers=0))
    return found
