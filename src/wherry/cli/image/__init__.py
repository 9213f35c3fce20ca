"""``wherry image``: list, pull, make, save and remove images."""

from __future__ import annotations

from wherry.cli.groups import Group

GROUP = Group(
    "wherry image",
    package="wherry.cli.image",
    text="List, pull, make, save and remove the images of this machine.",
    usage="wherry image COMMAND",
    commands={
        "What is here": {
            "ls": "List images",
            "inspect": "Show all that is known of images, as JSON",
            "du": "Say what images take on the disk",
        },
        "Where images come from": {
            "pull": "Fetch images from registries",
            "load": "Read images from an archive of docker's or an OCI one",
            "import": "Make an image of a root file system in a tar file",
            "from-host": "Make an image of programs of this machine",
        },
        "And where they go": {
            "save": "Write images to an OCI archive",
            "tag": "Give an image one more name",
            "rm": "Remove images",
            "prune": "Remove what is not needed",
        },
    },
)
