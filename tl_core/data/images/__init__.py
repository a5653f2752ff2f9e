"""From a file's bytes to pixels: the only image path of the package."""
