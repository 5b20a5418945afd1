"""A baseline is evaluated once for each structure, and what it gives is found again."""

import logging
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from own_models import Repulsive
from structures import NO_TARGETS, labelled_atoms, random_atoms

from sognet.data import Keys, Splits, Structure, stream
from sognet.data.baseline_labels import BaselineLabels, Residuals, geometry_key, residual
from sognet.data.graph import build_batch
from sognet.data.streaming.baseline_blocks import BaselineBlocks
from sognet.data.streaming.preparation import prepare
from sognet.errors import InputError
from sognet.model import SOGNet, baseline_evaluation
from sognet.model.baseline_evaluation import evaluate_baseline
from sognet.model.sognet import as_baseline


class Counted(SOGNet):
    """Counts the structures that it is evaluated for, also in copies and in other processes."""

    def forward(self, graph, *arguments, **settings):
        with Path(self.file).open("a") as file:
            file.write("x" * len(graph.cell))
        return super().forward(graph, *arguments, **settings)


@pytest.fixture
def baseline(tmp_path):
    model = as_baseline(Counted(Repulsive(["Na", "Cl"], 3.0, strength=20.0, offset=-3.0)))
    model.file = str(tmp_path / "calls")
    return model


def structures(n, seed=0):
    made = [random_atoms(3 + i, seed=seed + i, pbc=i % 2 == 0) for i in range(n)]
    return [Structure.from_atoms(a, NO_TARGETS, f"frame {i}") for i, a in enumerate(made)]


def calls(baseline):
    return len(Path(baseline.file).read_text()) if Path(baseline.file).exists() else 0


def test_every_geometry_is_evaluated_once_whatever_set_it_is_in(baseline, tmp_path):
    made = structures(6)
    evaluate_baseline(baseline, Splits("a", made[:3], made[3:4], made[:1]), tmp_path)
    assert calls(baseline) == 4
    evaluate_baseline(baseline, Splits("a", made[:4]), tmp_path)  # nothing is read again
    again = structures(6)
    evaluate_baseline(baseline, Splits("b", again[::-1]), tmp_path)
    assert calls(baseline) == 6
    for structure in again:
        out = baseline.double()(build_batch([structure], 3.0))
        labels = structure.baselines[baseline.identity]
        assert labels.energy == pytest.approx(out["energy"].item(), abs=1e-12)
        np.testing.assert_allclose(labels.forces, out["forces"], atol=1e-12)
        np.testing.assert_allclose(labels.stress, out["stress"][0], atol=1e-12)


def test_geometries_are_the_same_where_all_that_a_baseline_sees_is():
    (one,) = structures(1)
    others = [
        replace(one, numbers=one.numbers[::-1]),
        replace(one, positions=one.positions + 1e-9),
        replace(one, cell=1.01 * one.cell),
        replace(one, pbc=~one.pbc),
        replace(one, charge=one.charge + 1.0),
    ]
    assert len({geometry_key(s) for s in (one, *others)}) == 6
    assert geometry_key(replace(one, energy=0.0, source="elsewhere")) == geometry_key(one)


def test_what_was_computed_before_an_interruption_is_kept(baseline, tmp_path, monkeypatch):
    monkeypatch.setattr(baseline_evaluation, "ATOMS_AT_ONCE", 1)
    of_batch = baseline_evaluation._of_batch

    def interrupted(model, batch):
        if calls(baseline) == 2:
            raise KeyboardInterrupt
        return of_batch(model, batch)

    monkeypatch.setattr(baseline_evaluation, "_of_batch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        evaluate_baseline(baseline, Splits("a", structures(5)), tmp_path)
    monkeypatch.setattr(baseline_evaluation, "_of_batch", of_batch)
    evaluate_baseline(baseline, Splits("a", structures(5)), tmp_path)
    assert calls(baseline) == 5


def test_a_broken_file_is_computed_again(baseline, tmp_path, caplog):
    evaluate_baseline(baseline, Splits("a", structures(2)), tmp_path)
    (file,) = (tmp_path / "baselines" / baseline.identity).glob("*.npz")
    file.write_bytes(file.read_bytes()[:100])
    evaluate_baseline(baseline, Splits("a", structures(2)), tmp_path)
    assert calls(baseline) == 4
    assert f"{file}: not read" in caplog.text


def test_where_nothing_can_be_kept_it_is_computed_all_the_same(baseline, tmp_path, caplog):
    (tmp_path / "baselines").write_text("a file in the place of the folder")
    made = structures(2)
    evaluate_baseline(baseline, Splits("a", made), tmp_path)
    assert all(baseline.identity in s.baselines for s in made)
    assert "what the baseline gives is not kept" in caplog.text


def test_two_that_need_the_same_wait_for_one_another(baseline, tmp_path):
    with ThreadPoolExecutor(2) as pool:
        started = [pool.submit(evaluate_baseline, baseline, Splits("a", structures(8)), tmp_path) for _ in range(2)]
    for one in started:
        one.result()
    assert calls(baseline) == 8


def test_elements_are_checked_before_anything_is_computed(baseline, tmp_path):
    made = structures(3)
    made[2].numbers[0] = 19
    with pytest.raises(InputError, match="frame 2: K, which the baseline does not know; it knows Na, Cl"):
        evaluate_baseline(baseline, Splits("a", made[:2], made[2:]), tmp_path)
    assert calls(baseline) == 0


def test_what_is_not_finite_is_named(baseline, tmp_path):
    baseline.short_range.offset = float("nan")
    with pytest.raises(InputError, match="frame 0: the baseline gives energies or forces that are not finite"):
        evaluate_baseline(baseline, Splits("a", structures(1)), tmp_path)


@pytest.fixture
def prepared(tmp_path):
    """23 structures, in blocks of a few each and several shards."""
    prepare(Splits("a", structures(20), structures(3, seed=50)), tmp_path / "prepared", shard_atoms=100, block_atoms=30)
    return str(tmp_path / "prepared")


def test_prepared_structures_bring_the_same_values_and_are_evaluated_once(baseline, prepared, tmp_path):
    streamed, in_memory = stream(prepared, shuffle_atoms=20), structures(20)
    evaluate_baseline(baseline, Splits("a", in_memory), tmp_path / "memory")
    before = calls(baseline)
    evaluate_baseline(baseline, streamed, tmp_path)
    evaluate_baseline(baseline, again := stream(prepared), tmp_path)
    assert calls(baseline) == before + 23
    assert baseline.identity in again.val[2].baselines
    for members in (streamed.train, pickle.loads(pickle.dumps(again.train)), again.train[::1]):
        for number in np.random.default_rng(0).permutation(20):
            found, expected = (s[number].baselines[baseline.identity] for s in (members, in_memory))
            assert found.energy == pytest.approx(expected.energy, abs=1e-12)
            np.testing.assert_allclose(found.forces, expected.forces, atol=1e-12)
            np.testing.assert_allclose(found.stress, expected.stress, atol=1e-12)
    assert len(streamed.train._held_labels) <= len(streamed.train._held) < len(streamed.train.files)


def test_an_interrupted_evaluation_of_prepared_data_goes_on_with_the_next_block(baseline, prepared, tmp_path):
    streamed = stream(prepared)
    of_first = len(streamed.train.members(0))
    write, written = BaselineBlocks.write, []

    def interrupted(self, *arguments):
        if written:
            raise KeyboardInterrupt
        written.append(write(self, *arguments))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaselineBlocks, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            evaluate_baseline(baseline, streamed, tmp_path)
    before = calls(baseline)
    evaluate_baseline(baseline, streamed, tmp_path)
    assert calls(baseline) - before == 23 - of_first


def test_broken_values_of_prepared_data_are_named(baseline, prepared, tmp_path):
    streamed = stream(prepared)
    evaluate_baseline(baseline, streamed, tmp_path)
    for file in (tmp_path / "baselines" / baseline.identity / "blocks").glob("*.npz"):
        file.write_bytes(b"broken")
    with pytest.raises(InputError, match="delete the file"):
        streamed.train[0]


def test_values_of_prepared_data_must_be_kept(baseline, prepared, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(InputError, match=r"cannot be kept .* paths.data="):
        evaluate_baseline(baseline, stream(prepared), tmp_path / "file")


def test_the_residual_is_what_it_leaves(baseline, tmp_path, caplog):
    made = [Structure.from_atoms(labelled_atoms(5, seed=s), Keys(), "made") for s in (1, 2)]
    made[1].stress = made[1].energy = None
    with caplog.at_level(logging.INFO):
        evaluate_baseline(baseline, Splits("a", made), tmp_path)
    assert f"evaluated once for 2 structures and kept in {tmp_path}" in caplog.text
    for structure in made:
        labels, left = structure.baselines[baseline.identity], residual(structure, baseline.identity)
        np.testing.assert_array_equal(left.forces, structure.forces - labels.forces)
        assert (left.energy is None) == (structure.energy is None)
        assert residual(structure, "another") is residual(structure, None) is structure
        assert residual(left, baseline.identity) is left
    left = residual(made[0], baseline.identity)
    assert left.energy == made[0].energy - made[0].baselines[baseline.identity].energy
    np.testing.assert_array_equal(left.stress, made[0].stress - made[0].baselines[baseline.identity].stress)


def test_residuals_are_those_of_each_structure_by_number_and_by_slice():
    made = [Structure.from_atoms(labelled_atoms(4 + s, seed=s), Keys(), "made") for s in range(4)]
    for number, structure in enumerate(made):
        given = BaselineLabels(float(number), np.full((4 + number, 3), 0.1 * number), np.zeros((3, 3)))
        structure.baselines["identity"] = given
    left = Residuals(made, "identity")
    assert left[-1].energy == made[3].energy - 3.0
    assert [s.energy for s in left[1:3]] == [made[1].energy - 1.0, made[2].energy - 2.0]
    np.testing.assert_array_equal(left[2].forces, made[2].forces - 0.2)
    assert [len(s) for s in left] == [4, 5, 6, 7]
