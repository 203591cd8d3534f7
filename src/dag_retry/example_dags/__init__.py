"""Dags to begin with: copy what fits. Each fails at first, for the example's sake, and comes back."""
