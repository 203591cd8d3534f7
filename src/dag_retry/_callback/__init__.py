"""The way from a failure to a cleared run.

``callbacks``    a failure or a success comes in, and is claimed
``failure``      what a callback's context says of the failure
``unclaimed``    failures that a callback does not claim
``verdict``      what the answer to a claim asks for: clear, wait, or tell an ending
``holder``       the holder of a claim, and all that it needs
``winner``       look, renew, clear, confirm
``waiting``      a claim with a delay: the sweeper's Dag runs when it is over
``endings``      exhausted, skipped, blocked: the hooks are told, and Redis records that
``note``         the line in the note of the run
``time_budget``  how many seconds a callback takes
``deployment``   the deployment's Redis
"""
