"""One file per engine: what starts workers on a kind of cluster."""
