"""The wire: frozen models of what clients, masters and workers say to each other."""
