"""How a folder is read: which image belongs to which class, part and group, and why."""
