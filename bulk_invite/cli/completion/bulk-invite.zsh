#compdef bulk-invite
# Completion of bulk-invite for zsh. The program lists what may stand in place of the last word, one line
# each with a tab and a description; a line that begins with a tab asks for names of files.
_bulk-invite() {
  local line about files
  local -a described
  for line in "${(@f)$(_BULK_INVITE_COMPLETE=complete_zsh ${~words[1]} "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}"; do
    if [[ $line == $'\t'* ]]; then
      files=1
    elif [[ -n $line ]]; then
      about=${line#*$'\t'}
      described+=("${line%%$'\t'*}${about:+:$about}")
    fi
  done
  (( $#described )) && _describe 'bulk-invite' described
  if [[ -n $files ]]; then
    compset -P '--*='
    _files
  fi
}

# Loaded from fpath, this file is the function of the first Tab; sourced, it only registers the function.
if [[ $zsh_eval_context[-1] == (loadautofunc|shfunc) ]]; then
  _bulk-invite "$@"
else
  compdef _bulk-invite bulk-invite
fi
