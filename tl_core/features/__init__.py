"""From a frozen backbone to cached features."""
