#!/usr/bin/env bash
# Installs the servers of the tests that are no Python packages: PostgreSQL and openssl from Debian where we are root,
# Azurite into .servers. Does nothing where all is there. What cannot be installed is said here and is no failure:
# scripts/servers.py decides whether the tests can do without it.
set -uo pipefail
cd "$(dirname "$0")/.."
azurite=azurite@3.35.0

has() { command -v "$1" >/dev/null; }
note() { echo "install-servers: $*" >&2; }

packages=()
has initdb || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || packages+=(postgresql)
has openssl || packages+=(openssl)
if [ ! -e .servers/node_modules/.bin/azurite-blob ] && ! has azurite-blob; then
    has node || packages+=(nodejs)
    has npm || packages+=(npm)
fi

if [ "${#packages[@]}" -gt 0 ]; then
    if [ "$(id -u)" -eq 0 ] && has apt-get; then
        export DEBIAN_FRONTEND=noninteractive
        { apt-get -qq update && apt-get -qq install -y --no-install-recommends "${packages[@]}"; } >&2 ||
            note "could not install ${packages[*]}"
    else
        note "please install: ${packages[*]} (as root: apt-get install ${packages[*]})"
    fi
fi

if [ ! -e .servers/node_modules/.bin/azurite-blob ] && ! has azurite-blob && has npm; then
    npm install --prefix .servers --no-save --no-audit --no-fund --loglevel=error "$azurite" >&2 ||
        note "could not install $azurite"
fi
exit 0
