"""How the photos of the sample set are drawn."""
