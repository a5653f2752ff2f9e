"""The registry of pretrained backbones, their weights and their Keras models."""
