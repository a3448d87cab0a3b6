"""Models that look at screens: which one, what it is asked, what it answered."""
