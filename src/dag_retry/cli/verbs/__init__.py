"""One verb per file.

The first sentence of its docstring is its help; ``arguments(parser)`` says what it takes, and ``run(args, out)`` does
it and returns the exit code.
"""
