"""From a failure to a cleared run."""
