"""What features say about a dataset: label check, map, learning curve, augmentation effect."""
