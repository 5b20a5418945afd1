"""Preparing a data set: what comes back is what went in, and whatever interrupts leaves nothing broken behind."""

import errno
import json
import os
import subprocess
import sys
import time
from dataclasses import fields

import numpy as np
import pytest
from structures import labelled_atoms

from sognet.data import Keys, Splits, Structure, build_graph, statistics, stream
from sognet.data.slabs import leave_out_slabs
from sognet.data.split_contents import counted
from sognet.data.streaming import preparation as prepare_module
from sognet.data.streaming.preparation import prepare
from sognet.errors import InputError

SETTINGS = {"shard_atoms": 60, "block_atoms": 25}


@pytest.fixture
def splits():
    structures = [Structure.from_atoms(labelled_atoms(4 + i % 5, seed=i), Keys(), f"frame {i}") for i in range(43)]
    structures[3].info |= {"config_type": "bulk", "steps": 7, "dipole": np.array([0.1, 0.2, -0.3]), "unknown": object()}
    structures[3].arrays["charges"] = 0.1 * np.arange(len(structures[3]))
    structures[4].stress = None
    structures[5].charge = -2.0
    return Splits("mine", structures[:30], structures[30:36], structures[36:])


def test_structures_come_back_bit_by_bit(splits, tmp_path):
    prepare(splits, tmp_path, cutoff=3.0, **SETTINGS)
    read = stream(str(tmp_path))
    assert read.name == "mine"
    for split, structures in splits:
        for before, after in zip(structures, getattr(read, split), strict=True):
            for name in (f.name for f in fields(Structure) if f.name not in ("info", "arrays")):
                np.testing.assert_array_equal(getattr(after, name), getattr(before, name), err_msg=name)
                assert type(getattr(after, name)) is type(getattr(before, name))
    assert read.train[3].info["config_type"] == "bulk"
    assert read.train[3].info["steps"] == 7
    np.testing.assert_array_equal(read.train[3].info["dipole"], splits.train[3].info["dipole"])
    np.testing.assert_array_equal(read.train[3].arrays["charges"], splits.train[3].arrays["charges"])
    assert "unknown" not in read.train[3].info


def test_the_index_knows_what_training_would_have_to_read_for(splits, tmp_path):
    prepare(splits, tmp_path, cutoff=3.0, **SETTINGS)
    for shard in tmp_path.glob("*-0*.parquet"):
        shard.unlink()
    read = stream(str(tmp_path))
    assert read.statistics == statistics(splits.train, cutoff=3.0)
    for split, structures in splits:
        expected, found = counted(structures), getattr(read, split).contents
        np.testing.assert_array_equal(found.n_atoms, expected.n_atoms)
        assert found.labelled == expected.labelled
        assert found.first_without == expected.first_without
        n_edges = [build_graph(s, 3.0).num_edges for s in structures]
        np.testing.assert_array_equal(getattr(read, split).n_edges(3.0), n_edges)
    with pytest.raises(InputError, match=r"cutoff=3\.0, the model's is 4\.0"):
        read.train.n_edges(4.0)
    with pytest.raises(InputError, match="missing"):
        read.train[0]


def files(folder):
    return {f.name: (f.read_bytes(), f.stat().st_mtime_ns) for f in folder.iterdir() if f.name != ".lock"}


def test_an_interrupted_preparation_goes_on(splits, tmp_path, monkeypatch):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    prepare(splits, whole, **SETTINGS)
    write_shard = prepare_module.write_shard
    written = []

    def stop_in_the_third(file, content, blocks):
        if len(written) == 2:
            file.write(b"half a shard")
            raise KeyboardInterrupt
        written.append(blocks)
        write_shard(file, content, blocks)

    monkeypatch.setattr(prepare_module, "write_shard", stop_in_the_third)
    with pytest.raises(KeyboardInterrupt):
        prepare(splits, broken, **SETTINGS)
    before = files(broken)
    assert sorted(before) == [".train-00002.parquet.part", "train-00000.parquet", "train-00001.parquet"]
    with pytest.raises(InputError, match="no finished data set"):
        stream(str(broken))
    monkeypatch.setattr(prepare_module, "write_shard", write_shard)
    prepare(splits, broken, **SETTINGS)
    after = files(broken)
    assert {n: c for n, (c, _) in after.items()} == {n: c for n, (c, _) in files(whole).items()}
    assert all(after[n] == before[n] for n in ("train-00000.parquet", "train-00001.parquet"))


def test_other_structures_are_not_mixed_in(splits, tmp_path):
    prepare(splits, tmp_path, **SETTINGS)
    with pytest.raises(InputError, match="already holds a prepared data set"):
        prepare(splits, tmp_path, **SETTINGS)
    (tmp_path / "index.json").unlink()
    splits.train[0].positions[0, 0] += 1e-12
    with pytest.raises(InputError, match=r"train-00000\.parquet is of other structures"):
        prepare(splits, tmp_path, **SETTINGS)


def test_a_full_disk_is_named_and_leaves_no_half_shard(splits, tmp_path, monkeypatch):
    write_shard = prepare_module.write_shard

    def full(file, content, blocks):
        if "00001" in file.name:
            file.write(b"half a shard")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write_shard(file, content, blocks)

    monkeypatch.setattr(prepare_module, "write_shard", full)
    with pytest.raises(InputError, match=r"train-00001\.parquet: cannot be written, the disk is full; free some space"):
        prepare(splits, tmp_path, **SETTINGS)
    assert sorted(files(tmp_path)) == ["train-00000.parquet"]
    monkeypatch.undo()
    prepare(splits, tmp_path, **SETTINGS)
    assert len(stream(str(tmp_path)).train) == 30


HOLD = """
import sys, time
from filelock import FileLock
with FileLock(sys.argv[1] + "/.lock"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_two_processes_cannot_prepare_the_same_folder(splits, tmp_path):
    other = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline() == "held\n"
    start = time.perf_counter()
    with pytest.raises(InputError, match="another process is preparing this folder"):
        prepare(splits, tmp_path, **SETTINGS)
    assert time.perf_counter() - start < 5
    other.kill()  # the lock of a killed process is not in the way
    other.communicate()
    prepare(splits, tmp_path, **SETTINGS)


def test_damage_is_noticed(splits, tmp_path):
    prepare(splits, tmp_path, **SETTINGS)
    shard = tmp_path / "train-00000.parquet"
    content = bytearray(shard.read_bytes())
    content[len(content) // 3] ^= 1
    shard.write_bytes(content)
    with pytest.raises(InputError, match=r"train-00000\.parquet: this shard is damaged"):
        list(stream(str(tmp_path)).train)
    index = json.loads((tmp_path / "index.json").read_text())
    (tmp_path / "index.json").write_text(json.dumps(index | {"format": 99}))
    with pytest.raises(InputError, match="prepared in format 99"):
        stream(str(tmp_path))


@pytest.mark.parametrize("split", ["train", "val"])
def test_slabs_of_a_prepared_set_are_refused_by_name_without_reading_it(splits, tmp_path, split):
    for structure in getattr(splits, split)[2:4]:
        structure.pbc = np.array([True, True, False])
    first = getattr(splits, split)[2].source
    prepare(splits, tmp_path, **SETTINGS)
    earlier = json.loads((tmp_path / "index.json").read_text())
    for entry in earlier["splits"].values():
        del entry["slabs"]
    with pytest.raises(
        InputError, match=rf"^{first}: .*first of 2 in the {split} split.*dataset\.pbc=\[true,true,true\]"
    ):
        leave_out_slabs(stream(str(tmp_path)), skip=False)
    (tmp_path / "index.json").write_text(json.dumps(earlier))
    with pytest.raises(InputError, match=rf"^{first}: .*pbc = T T F"):
        leave_out_slabs(stream(str(tmp_path)), skip=False)


def test_a_prepared_set_without_slabs_is_taken(splits, tmp_path):
    prepare(splits, tmp_path, **SETTINGS)
    for shard in tmp_path.glob("*-0*.parquet"):
        shard.unlink()
    leave_out_slabs(stream(str(tmp_path)), skip=False)
