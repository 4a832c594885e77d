"""Dislocations as eigenstrains: spreading functions, closed forms, cell averages."""
