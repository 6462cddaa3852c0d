"""connector-sidecar: the plumbing between an agent and the APIs it calls."""
