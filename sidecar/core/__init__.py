"""What the product decides, as pure functions: no await, clock, randomness or logging here; `now` is an argument."""
