#!/bin/sh
# TEXT WIDTH: print the text, padded on the left.
printf '%*s\n' "$2" "$1"
