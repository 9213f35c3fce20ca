"""The scoped Docker API: a socket whose holder has its own containers, and no others."""
