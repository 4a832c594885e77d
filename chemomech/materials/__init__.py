"""Material laws, the library of their numbers, and the orientation of crystals."""

from chemomech.materials.laws import GAS_CONSTANT, Cubic, Isotropic, Material
from chemomech.materials.library import entry, load_library, print_table, table

__all__ = ["GAS_CONSTANT", "Cubic", "Isotropic", "Material", "entry", "load_library", "print_table", "table"]
