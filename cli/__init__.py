"""The command `serm`."""
