"""Maps of electron backscatter diffraction: read, cleaned, cut into grains, and measured for lattice bending."""
