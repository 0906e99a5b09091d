#!/usr/bin/env bash
# Runs every test, Rust's and Python's, and prints how many passed, failed and were skipped.
#
# PYTHON is an interpreter with the packages of tests/interop/requirements.txt. With CI set, a test that cannot run is a
# failure; elsewhere it is skipped by name. All of them share one set of servers.
set -uo pipefail
cd "$(dirname "$0")/.."
[ -n "${PINAKO_TEST_SERVERS+set}" ] || exec "${PYTHON:-python3}" scripts/servers.py run -- scripts/test.sh
log=$(mktemp)
trap 'rm -f "$log"' EXIT

cargo build --workspace && cargo test --workspace --no-fail-fast 2>&1 | tee "$log"
rust=$?
"${PYTHON:-python3}" -m pytest tests/interop -q -rs -p no:cacheprovider 2>&1 | tee -a "$log"
python=$?
{ scripts/test-python.sh 2>&1; } | tee -a "$log"
package=$?

awk '
    /^test result:/ { passed += $4; failed += $6; skipped += $8 }
    /^[0-9]+ (passed|failed|skipped)|^=* *[0-9]+ (passed|failed|skipped)/ {
        for (i = 2; i <= NF; i++) {
            if ($i ~ /^passed/) passed += $(i - 1)
            if ($i ~ /^(failed|error)/) failed += $(i - 1)
            if ($i ~ /^skipped/) skipped += $(i - 1)
        }
    }
    END { printf "\n%d passed, %d failed, %d skipped\n", passed, failed, skipped }
' "$log"
[ "$rust" -eq 0 ] && [ "$python" -eq 0 ] && [ "$package" -eq 0 ]
