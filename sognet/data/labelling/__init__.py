"""Labels: energies, forces, stresses and charges of structures by any ASE calculator."""
