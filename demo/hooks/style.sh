#!/bin/bash
# kozmic: title = Style
# kozmic: image = kozmic/debian:bookworm
#
# The house rules for source files. The sample breaks two of them, so that one hook is red.
set -euo pipefail

offences=0

# rule NAME PATTERN: no line of a source file may match.
rule() {
  local place
  while IFS= read -r place; do
    offences=$((offences + 1))
    printf '\033[35m%s\033[0m:\033[32m%s\033[0m: \033[31m%s\033[0m\n' \
      "$(cut -d: -f1 <<<"$place")" "$(cut -d: -f2 <<<"$place")" "$1"
    printf '    %s\n' "$(cut -d: -f3- <<<"$place" | cut -c1-90)"
  done < <(find . -name '*.[ch]' -printf '%P\0' | sort -z | xargs -0 grep -HnE -- "$2")
}

rule 'a TODO must name its owner: TODO(name)' 'TODO($|[^(])'
rule 'a line has at most 100 columns' '^.{101,}$'
rule 'blanks at the end of a line' '[[:blank:]]+$'

if ((offences)); then
  printf '\033[1;31m%d offences.\033[0m\n' "$offences"
  exit 1
fi
printf '\033[1;32mNo offences.\033[0m\n'
