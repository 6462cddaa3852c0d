"""Every call explained: events published on NATS, and read back for a person."""
