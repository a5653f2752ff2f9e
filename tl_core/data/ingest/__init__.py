"""How data comes in: archives, uploads, and how a folder is read as classes."""
