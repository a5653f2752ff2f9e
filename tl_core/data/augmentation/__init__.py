"""Random transforms of training images, and presets of them."""
