"""Engines: places that run containers, all behind the protocol in :mod:`wherry.engines.base`."""
