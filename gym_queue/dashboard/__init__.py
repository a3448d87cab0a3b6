"""The dashboard: one page, served by the master or by a program of its own."""
