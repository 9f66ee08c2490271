"""Shards at URLs: stores, the local cache that they are copied into, and fetching ahead."""
