"""Container images: references, registries, archives, layers."""
