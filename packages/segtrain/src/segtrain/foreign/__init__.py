"""Shards that others made: what they hold, and what makes them trainable."""
