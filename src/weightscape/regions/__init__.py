"""Which models belong together: regions of weight space, their map, and neighbours."""
