"""The augmentation laboratory."""
