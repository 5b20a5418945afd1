"""A resumed run has the data that it was started with, or says what changed; known structures stay in their split."""

import pytest
from structures import labelled_atoms

from sognet.data import Keys, Splits, Structure
from sognet.errors import InputError
from sognet.training.data_fingerprint import fingerprint, same_data


def splits_of(numbers: dict[str, range]) -> Splits:
    made = {
        name: [Structure.from_atoms(labelled_atoms(5, seed=i), Keys(), f"frame {i}") for i in of_split]
        for name, of_split in numbers.items()
    }
    return Splits("mine", **made)


def test_known_structures_keep_their_split_and_new_ones_are_trained_on():
    started = {"train": range(6), "val": range(6, 8), "test": range(8, 10)}
    saved, same = fingerprint(splits_of(started)), splits_of(started)
    assert same_data(same, saved, False, "run") is same
    today = splits_of({"train": range(4, 12), "val": range(2), "test": range(2, 4)})
    with pytest.raises(InputError, match=r"train 6 → 8, val 2 → 2, test 2 → 2.*data_changed=accept"):
        same_data(today, saved, False, "run")
    accepted = same_data(today, saved, True, "run")
    found = {name: sorted(int(s.source.split()[1]) for s in members) for name, members in accepted}
    assert found == {"train": [0, 1, 2, 3, 4, 5, 10, 11], "val": [6, 7], "test": [8, 9]}


def test_a_changed_value_is_another_structure():
    saved, today = (splits_of({"train": range(3), "val": range(3, 4), "test": range(4, 5)}) for _ in range(2))
    today.train[1].forces[0, 0] += 1e-9
    with pytest.raises(InputError, match="is not the one that the run was started with"):
        same_data(today, fingerprint(saved), False, "run")
