"""How a call proves who it is for: credential kinds, and what they add to a request."""
