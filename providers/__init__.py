"""The AI services, behind one small protocol. See `providers.base`."""
