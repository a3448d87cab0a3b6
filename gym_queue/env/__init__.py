"""The life of an episode: reset, step, done, close."""
