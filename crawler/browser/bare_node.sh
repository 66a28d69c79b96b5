#!/bin/sh
# Runs Playwright's Node.js without the environment of the crawler, which may hold passwords: another process of the same user can read
# the environment of a process in /proc. Playwright calls it as: bare_node.sh …/driver/package/cli.js run-driver
# The run of a spider limits its address space, in which neither Node.js nor Chromium starts.
ulimit -S -v "$(ulimit -H -v)"
exec env -i PATH="$PATH" HOME="${HOME:-/}" TMPDIR="${TMPDIR:-/tmp}" PW_LANG_NAME="$PW_LANG_NAME" \
  PW_LANG_NAME_VERSION="$PW_LANG_NAME_VERSION" PW_CLI_DISPLAY_VERSION="$PW_CLI_DISPLAY_VERSION" "${1%/package/cli.js}/node" "$@"
