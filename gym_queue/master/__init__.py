"""The master: routes creates to workers through Celery, and calls straight to them."""
