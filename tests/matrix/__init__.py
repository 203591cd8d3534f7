"""The tests, run with every version that the README names: ``make matrix``, or ``python -m tests.matrix ROW …``."""
