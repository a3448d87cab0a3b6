"""What the HTTP programs share: tokens, errors, request ids, a server in a thread."""
