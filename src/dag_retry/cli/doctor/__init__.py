"""What can be wrong with a deployment, and what to do about each fault. The doctor changes nothing."""
