"""Random lives of the real control plane in a hostile world, checked after every event."""
