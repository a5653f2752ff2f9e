"""The Label tab of the Data page: classes for photos that have none."""
