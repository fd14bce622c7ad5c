# Completion of bulk-invite for bash. The program lists what may stand in place of the last word, one line
# each with a tab and a description; a line that begins with a tab asks for names of files.
_bulk_invite_completion() {
    local line
    COMPREPLY=()
    while IFS= read -r line; do
        if [[ $line == $'\t'* ]]; then
            compopt -o default
        else
            COMPREPLY+=("${line%%$'\t'*}")
        fi
    done < <(_BULK_INVITE_COMPLETE=complete_bash "${1/#\~/$HOME}" "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}

complete -F _bulk_invite_completion bulk-invite
