"""What is read off a solution: probes, integrals, forces."""
