"""How cost grows: with containers that wait, with files of an image, with callers."""
