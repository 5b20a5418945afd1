"""Completion of `sognet` on the command line: commands, groups, their options, and values by dotted name."""

from collections.abc import Sequence

BASH = r"""_sognet() {
    local line="${COMP_LINE:0:COMP_POINT}" current= choice
    local -a words
    read -ra words <<<"$line"
    if [[ $line != *[[:space:]] ]]; then current="${words[-1]}"; fi
    COMPREPLY=()
    local command="${words[1]}" before=$(( ${#words[@]} - (${#current} > 0) )) choices=
    if [[ $command == data ]] && (( before > 2 )); then command="data ${words[2]}"; fi
    if (( before == 1 )); then choices="FIRST_WORDS"; fi
    if (( before == 2 )) && [[ $command == data ]]; then choices="OF_DATA"; fi
    if [[ -n $choices ]]; then
        for choice in $choices; do
            if [[ $choice == "$current"* ]]; then COMPREPLY+=("$choice "); fi
        done
        return
    fi
    case "$command" in CONFIGURED) ;; *) return ;; esac
    # readline breaks words at = and :, and replaces what follows the last of them
    local kept="${current%"${current##*[=:]}"}"
    local overrides="${line#*"$command"}"
    read -ra words <<<"$(COMP_LINE="sognet $overrides" "${words[0]}" $command -sc query=bash 2>/dev/null)"
    for choice in "${words[@]}"; do
        if [[ $choice == "$current"* ]]; then COMPREPLY+=("${choice#"$kept"}"); fi
    done
}
complete -o nospace -o default -F _sognet sognet"""


def bash_script(configured: Sequence[str], others: Sequence[str]) -> str:
    """What `eval "$(sognet completion bash)"` runs.

    Parameters
    ----------
    configured : commands of one or two words that take groups and values.
    others : further commands.
    """
    first_words = dict.fromkeys(command.split()[0] for command in (*configured, *others))
    script = BASH.replace("FIRST_WORDS", " ".join(first_words))
    script = script.replace("OF_DATA", " ".join(c.split()[1] for c in configured if c.startswith("data ")))
    return script.replace("CONFIGURED", " | ".join(f'"{command}"' for command in configured))
