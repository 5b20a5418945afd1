"""A resumed run has the data that it was started with, or says what changed; known structures stay in their split."""

import pytest
from structures import labelled_atoms

from sognet.data import Keys, Splits, Structure
from sognet.data.split_identity import as_saved, changes, identities


def splits_of(numbers: dict[str, range]) -> Splits:
    made = {
        name: [Structure.from_atoms(labelled_atoms(5, seed=i), Keys(), f"frame {i}") for i in of_split]
        for name, of_split in numbers.items()
    }
    return Splits("mine", **made)


STARTED = {"train": range(6), "val": range(6, 8), "test": range(8, 10)}


def numbers(splits: Splits) -> dict[str, list[int]]:
    return {name: sorted(int(s.source.split()[1]) for s in members) for name, members in splits}


@pytest.mark.parametrize("new", ["train", "test"])
def test_known_structures_keep_their_split(new):
    saved = identities(splits_of(STARTED))
    assert changes(splits_of(STARTED), saved) == ""
    today = splits_of({"train": range(4, 12), "val": range(2), "test": range(2, 4)})
    assert changes(today, saved) == "train 6 → 8, val 2 → 2, test 2 → 2"
    expected = {"train": [0, 1, 2, 3, 4, 5], "val": [6, 7], "test": [8, 9]}
    expected[new] = expected[new] + [10, 11]
    kept = as_saved(today, saved, new)
    assert numbers(kept) == expected
    known = identities(kept, today)
    assert changes(today, known) == ""  # a change that a run has taken over is none
    assert numbers(as_saved(today, known, new)) == expected
    assert changes(splits_of(STARTED), known)


def test_what_is_in_several_splits_counts_as_trained_on():
    twice = splits_of({"train": range(3), "val": range(2, 4), "test": range(1, 5)})
    assert as_saved(twice, identities(twice), "test") is twice
    more = splits_of({"train": range(3), "val": range(2, 4), "test": range(1, 6)})
    again = as_saved(more, identities(twice), "test")
    assert numbers(again) == {"train": [0, 1, 1, 2, 2, 2], "val": [3, 3], "test": [4, 5]}


@pytest.mark.parametrize("value", ["forces", "stress", "charge"])
def test_a_changed_value_is_another_structure(value):
    saved, today = (splits_of(STARTED) for _ in range(2))
    structure = today.train[1]
    if value == "charge":
        structure.charge = 1.0
    else:
        getattr(structure, value)[0, 0] += 1e-9
    assert changes(today, identities(saved))
