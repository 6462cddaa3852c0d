"""Every part that a message passes, from the bus to the sender: made once, wired, and not yet started."""
