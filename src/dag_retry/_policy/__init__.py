"""What a Dag file declares: which failures are retried, how often, when, and who is told. Nothing heavy is imported."""
