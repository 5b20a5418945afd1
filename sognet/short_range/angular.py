"""Monomials of a unit vector, and the invariants that products of their neighbour sums give ([CACE])."""

import math
from collections.abc import Sequence
from itertools import combinations_with_replacement, product

import torch
from torch import Tensor, nn

MultiIndex = tuple[int, int, int]


def multi_indices(order: int) -> list[MultiIndex]:
    """All (l_x, l_y, l_z) that add up to the order."""
    return [(x, y, order - x - y) for x in range(order, -1, -1) for y in range(order - x, -1, -1)]


def multinomial(index: MultiIndex) -> float:
    """L! / (l_x! l_y! l_z!)."""
    return math.factorial(sum(index)) / math.prod(math.factorial(i) for i in index)


class Monomials(nn.Module):
    """x^lx y^ly z^lz of unit vectors for all l = lx + ly + lz up to l_max, each order by one product with the lower.

    Parameters
    ----------
    l_max : largest order.
    """

    orders: Tensor

    def __init__(self, l_max: int) -> None:
        super().__init__()
        self.l_max = l_max
        self.indices = [index for order in range(l_max + 1) for index in multi_indices(order)]
        self.counts = [len(multi_indices(order)) for order in range(l_max + 1)]  # monomials of each order
        self.register_buffer("orders", torch.tensor([sum(i) for i in self.indices]), persistent=False)
        for order in range(1, l_max + 1):
            steps = torch.tensor([self._step(index) for index in multi_indices(order)])
            self.register_buffer(f"steps_{order}", steps.T.contiguous(), persistent=False)

    def __len__(self) -> int:
        return len(self.indices)

    def _step(self, index: MultiIndex) -> tuple[int, int]:
        """Position in the order below of the monomial, and the component of the vector that it is multiplied by."""
        axis = next(d for d in range(3) if index[d] > 0)
        lower = tuple(i - (d == axis) for d, i in enumerate(index))
        return multi_indices(sum(index) - 1).index(lower), axis

    def forward(self, directions: Tensor) -> Tensor:
        """Unit vectors (E, 3) -> (E, n_monomials)."""
        monomials = [torch.ones_like(directions[:, :1])]
        for order in range(1, self.l_max + 1):
            lower, axis = getattr(self, f"steps_{order}")
            monomials.append(monomials[-1].index_select(1, lower) * directions.index_select(1, axis))
        return torch.cat(monomials, dim=1)


class Invariants(nn.Module):
    """Rotation invariants of neighbour sums A of monomials: products of up to ν_max of them, contracted in chains.

    ν = 1: A_0. ν > 1: Σ over multi-indices 𝐥_1 ... 𝐥_(ν−1) with orders 0 < l_1 <= l_2 <= ... of their multinomials
    times A_𝐥1 ... A_𝐥(ν−1) A_(𝐥1 + ... + 𝐥(ν−1)), where l_1 + l_2 + ... <= l_max. Products that differ only in the
    order of their factors are merged when the tables are built.

    Parameters
    ----------
    monomials : the (l_x, l_y, l_z) along the first dimension of A.
    nu_max : 1 to 4.
    """

    def __init__(self, monomials: Sequence[MultiIndex], nu_max: int) -> None:
        super().__init__()
        if not 1 <= nu_max <= 4:
            raise ValueError(f"nu_max must lie within 1 and 4, got {nu_max}")
        l_max = max(sum(m) for m in monomials)
        self.n_invariants = 1
        self.nus: list[int] = []
        for nu in range(2, nu_max + 1):
            chains = [c for c in combinations_with_replacement(range(1, l_max + 1), nu - 1) if sum(c) <= l_max]
            if chains:
                self._add_table(nu, chains, {m: i for i, m in enumerate(monomials)})

    def _add_table(self, nu: int, chains: list[tuple[int, ...]], position: dict[MultiIndex, int]) -> None:
        """Factors (ν, n_terms) and coefficients (n_chains, n_terms) of the products of ν neighbour sums."""
        terms: dict[tuple[int, ...], dict[int, float]] = {}
        for number, orders in enumerate(chains):
            for indices in product(*(multi_indices(order) for order in orders)):
                total = tuple(map(sum, zip(*indices, strict=True)))
                factors = tuple(sorted(position[i] for i in (*indices, total)))
                coefficients = terms.setdefault(factors, {})
                weight = math.prod(multinomial(i) for i in indices)
                coefficients[number] = coefficients.get(number, 0.0) + weight
        table = torch.zeros(len(chains), len(terms), dtype=torch.get_default_dtype())
        for column, coefficients in enumerate(terms.values()):
            for row, weight in coefficients.items():
                table[row, column] = weight
        self.register_buffer(f"factors_{nu}", torch.tensor(list(terms)).T.contiguous(), persistent=False)
        self.register_buffer(f"coefficients_{nu}", table, persistent=False)
        self.nus.append(nu)
        self.n_invariants += len(chains)

    def forward(self, sums: Tensor) -> Tensor:
        """Neighbour sums (n_monomials, ...) -> invariants (n_invariants, ...)."""
        shape = sums.shape[1:]
        sums = sums.flatten(1)
        scalar, others = sums.split([1, len(sums) - 1])
        invariants = [scalar]
        for nu in self.nus:
            first, *factors = getattr(self, f"factors_{nu}")
            if nu == 2:  # the squares of all but A_0, in their order
                products = others.square()
            else:
                products = sums.index_select(0, first)
                for factor in factors:
                    products = products * sums.index_select(0, factor)
            invariants.append(getattr(self, f"coefficients_{nu}") @ products)
        return torch.cat(invariants).unflatten(1, shape)
