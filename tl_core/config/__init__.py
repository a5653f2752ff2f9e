"""Every setting, once: training, augmentation, audit and search."""
