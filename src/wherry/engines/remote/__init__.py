"""An engine on a server of ``wherry remote``: its containers, as if they were here."""
