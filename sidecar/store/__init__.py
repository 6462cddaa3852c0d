"""Durable records in JetStream, one file per kind, changed only by compare-and-set."""
