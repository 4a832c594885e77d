"""Newton's method, linear solvers and time integration; no physics."""
