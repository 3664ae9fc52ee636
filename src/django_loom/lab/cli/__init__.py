"""The commands of `loom lab`."""
