import pytest
from structures import labelled_atoms

from sognet.data import Keys, Structure
from sognet.data.loading.loader import GraphDataset


@pytest.fixture
def graphs():
    atoms = [labelled_atoms(n, seed=n) for n in (5, 12, 9, 20)]
    return GraphDataset([Structure.from_atoms(a, Keys(), f"{len(a)} atoms") for a in atoms], 4.0)
