"""Pretrained backbones, the layers put on them, and their cached features."""
