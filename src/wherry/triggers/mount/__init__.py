"""Containers in web applications of other frameworks: ``wherry.asgi`` and ``wherry.wsgi``."""
