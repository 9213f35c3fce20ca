#!/bin/sh
# Make the image hydra/libreoffice of Debian packages: about 500 MB, some minutes.
# Needs mmdebstrap (apt install mmdebstrap) and a Debian mirror; neither root nor Docker.
set -eu

convert='cat > /tmp/document &&
soffice --headless --convert-to pdf --outdir /tmp /tmp/document >&2 && cat /tmp/document.pdf'

mmdebstrap --mode="${MODE:-unshare}" --variant=apt --format=tar \
    --include=libreoffice-writer-nogui,fonts-dejavu-core \
    --aptopt='APT::Install-Recommends "false"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    "${SUITE:-bookworm}" - ${MIRROR:+"$MIRROR"} |
    wherry image import --env HOME=/tmp --entrypoint "$(printf '["/bin/sh", "-c", "%s"]' \
        "$(printf %s "$convert" | tr '\n' ' ')")" - hydra/libreoffice
