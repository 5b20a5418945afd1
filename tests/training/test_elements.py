"""Elements that the training split lacks are said before training."""

import pytest
from hydra import compose, initialize_config_dir
from structures import labelled_atoms

from sognet.cli.configuration import CONFIGURATION
from sognet.data import Keys, Splits, Structure
from sognet.errors import InputError
from sognet.long_range import FourierConvolution
from sognet.training.build import check_elements, takes_slabs


@pytest.mark.parametrize("split", ["val", "test"])
def test_element_of_another_split_is_named_with_file_and_frame(split):
    known = [Structure.from_atoms(labelled_atoms(seed=i), Keys(), f"a.xyz, frame {i}") for i in range(3)]
    silver = labelled_atoms()
    silver.numbers[3] = 47
    other = [known[0], Structure.from_atoms(silver, Keys(), "ag.xyz, frame 1")]
    check_elements(Splits("a", known, known, known), ["Na", "Cl"])
    with pytest.raises(InputError, match=rf"ag\.xyz, frame 1: Ag in the {split} split.*training split"):
        check_elements(Splits("a", known, **{split: other}), ["Na", "Cl"])


@pytest.mark.parametrize("taken", [True, False])
def test_the_layer_says_whether_it_takes_slabs(taken, monkeypatch):
    monkeypatch.setattr(FourierConvolution, "takes_slabs", taken)
    for long_range in ("power_law", "log_spaced", "none"):
        with initialize_config_dir(str(CONFIGURATION), version_base=None):
            config = compose("train", overrides=[f"model/long_range={long_range}"])
        assert takes_slabs(config, []) is (taken or long_range == "none")
