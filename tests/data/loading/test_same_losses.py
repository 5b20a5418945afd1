"""What a format holds decides nothing: statistics and training from any of them are the same, bit by bit.

Positions and forces are rounded to the 8 decimals of ASE's extended XYZ, so that the text form loses nothing either;
energies are written with all digits by every format. So everything is compared without tolerance.
"""

import lightning
import pytest
from ase.io import write
from program_structures import labelled_frames, write_database, write_deepmd
from structures import small_model
from torch.optim import Adam

from sognet.data import Splits, StructureDataModule, read_structures, statistics
from sognet.data.split_statistics import fingerprint
from sognet.training.loss import PotentialLoss
from sognet.training.module import PotentialModule

of_lightning = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers", "ignore:.*val_dataloader.*", "ignore:.*logging.*", "ignore:Total length of"
)
FORMATS = ("a.xyz", "a.db", "a.aselmdb", "deepmd", "a.hdf5")


class Losses(lightning.Callback):
    """Keeps the loss of every step."""

    def __init__(self):
        self.values = []

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self.values.append(outputs["loss"].item())


def losses_of(structures, device="cpu", **batching):
    """Of two steps of training in double precision."""
    found = statistics(structures, cutoff=4.0)
    model = small_model(reference_energies=found.reference_energies, energy_scale=found.force_rms)
    module = PotentialModule(model, PotentialLoss(energy=1.0, forces=10.0), lambda p: Adam(p, lr=1e-2))
    losses = Losses()
    trainer = lightning.Trainer(
        accelerator=device,
        devices=1,
        precision="64-true",
        max_steps=2,
        callbacks=[losses],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    trainer.fit(module, StructureDataModule(Splits("s", structures), model.cutoff, batch_size=3, **batching))
    return losses.values


@of_lightning
def test_neighbour_lists_of_whole_batches_give_the_same_losses(tmp_path, device):
    """But for the order of sums."""
    pytest.importorskip("nvalchemiops")
    write(tmp_path / "a.xyz", labelled_frames(6), format="extxyz")
    structures = read_structures(tmp_path / "a.xyz")
    assert losses_of(structures, device, neighbor_lists="device") == pytest.approx(losses_of(structures), rel=1e-12)


@of_lightning
def test_every_format_gives_the_same_statistics_and_losses(tmp_path):
    pytest.importorskip("ase_db_backends")
    frames = labelled_frames(6)
    write(tmp_path / "a.xyz", frames, format="extxyz")
    write_database(tmp_path / "a.db", frames)
    write_database(tmp_path / "a.aselmdb", frames)
    write_deepmd(tmp_path / "deepmd", frames)
    write_deepmd(tmp_path / "a.hdf5", frames, hdf5=True)
    read = {name: read_structures(tmp_path / name) for name in FORMATS}
    for structures in read.values():
        for structure in structures:
            structure.stress = None  # DeePMD's virial times the volume: equal to the last bits only
    expected = statistics(read["a.xyz"], cutoff=4.0)
    losses = losses_of(read["a.xyz"])
    assert len(losses) == 2
    assert losses[0] != losses[1]
    for name in FORMATS[1:]:
        assert statistics(read[name], cutoff=4.0) == expected, name
        assert fingerprint(read[name]) == fingerprint(read["a.xyz"]), name
        assert losses_of(read[name]) == losses, name
