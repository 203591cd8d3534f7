"""Dags to copy from. Each of them fails on purpose, and most recover."""
