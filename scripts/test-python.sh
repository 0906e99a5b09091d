#!/usr/bin/env bash
# Builds the Python package's wheel, installs it into a fresh environment, and runs its tests there: pytest, mypy on the
# types, and the examples.
#
# PyTorch takes gigabytes, so it is fetched once a machine, into $PINAKO_TORCH (~/.cache/pinako/torch-...), and only where
# CI is set; what needs it is skipped by name where it is not there.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$(realpath -s "${PYTHON:-$(command -v python3)}")
environment=target/python
version=$("$python" -c 'import sys; print("{}.{}".format(*sys.version_info))')
torch=${PINAKO_TORCH:-${XDG_CACHE_HOME:-$HOME/.cache}/pinako/torch-2-py$version}

pip() { "$environment/bin/python" -m pip --quiet --disable-pip-version-check "$@"; }

rm -rf "$environment" target/wheels
"$python" -m venv "$environment" || "$python" -m virtualenv "$environment"
pip install -r python/tests/requirements.txt
if [ ! -e "$torch/complete" ] && [ -n "${CI:-}" ]; then
    echo "PyTorch is fetched, once for this machine, into $torch"
    rm -rf "$torch"
    pip install --target "$torch" torch torchvision
    touch "$torch/complete"
fi
if [ -e "$torch/complete" ]; then
    # After the environment's own packages, so that those count.
    echo "$torch" > "$environment/lib/python$version/site-packages/torch.pth"
fi
"$environment/bin/maturin" build --quiet --profile dev --manifest-path python/Cargo.toml --out target/wheels
pip install --no-deps target/wheels/*.whl

"$environment/bin/python" -m pytest python/tests -q -rs -p no:cacheprovider --import-mode=importlib
