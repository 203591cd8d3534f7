"""The verbs, one per module.

The docstring of a module is the description of its verb, and the first sentence is the help. ``arguments(parser)`` adds
the verb's arguments. ``run(args, out)`` runs the verb and returns the exit code.
"""
