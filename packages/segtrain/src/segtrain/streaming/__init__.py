"""Training from shards that are read from beginning to end, by webdataset's pipeline."""
