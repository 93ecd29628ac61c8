#!/bin/sh
# Starts the service with the V8 flags that docs/adr/0001-one-file.md explains. `npm start` and the image use it. A flag that
# this Node does not know is left out; the service then only needs more memory. With --flags it prints the flags, one a line.
main="$(dirname "$0")/../dist/main.js"
known="$(node --v8-options 2>/dev/null)"
flags=''
for name in max-semi-space-size=8 no-allocation-site-pretenuring; do
  option="${name%%=*}"
  case "$known" in
    *"--${option#no-} "*) flags="$flags --$name" ;;
  esac
done
if [ "$1" = --flags ]; then
  for flag in $flags; do echo "$flag"; done
  exit 0
fi
# shellcheck disable=SC2086 # The flags are words of their own.
exec node --enable-source-maps $flags "$main" "$@"
