"""What the dashboard reads of a master."""
