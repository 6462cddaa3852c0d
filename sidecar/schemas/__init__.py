"""What goes over NATS, described for people who do not read this code: JSON Schemas and an AsyncAPI document.

Both are generated from the structs that encode and decode, into the folder `schemas/` of the repository; `make schemas`
finds a drift. The running sidecar never imports this package.
"""
