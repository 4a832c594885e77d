"""Energies and balances in UFL; no mesh file, no solver, no TOML."""
