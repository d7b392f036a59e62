#!/bin/bash
# kozmic: title = Tests
# kozmic: image = kozmic/debian:bookworm
#
# Compiles the library without a warning and runs its tests.
set -euo pipefail

gcc --version | head -n 1
make test
printf '\033[1;32mAll tests passed.\033[0m\n'
