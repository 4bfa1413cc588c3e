/**
 * Completion scripts for shells. They only hand the line to `solovs completion words`, which knows
 * the commands; so they stay right when commands are added.
 */
export const SHELLS = ["bash", "zsh"] as const;
export type Shell = typeof SHELLS[number];

/**
 * bash cuts words at `:` and `=`, too: what stands before the last of these in the word under the
 * cursor must not come back with the candidates.
 */
const BASH = `# solovs completion for bash. Load it with: source <(solovs completion bash)
_solovs() {
  local line=\${COMP_LINE:0:COMP_POINT} current=\${COMP_WORDS[COMP_CWORD]} word
  case $current in : | = | :=) current= ;; esac
  word=\${line##*[[:space:]]}
  local keep=\${word%"$current"}
  COMPREPLY=()
  while IFS= read -r word; do
    COMPREPLY+=("\${word#"$keep"}")
  done < <(solovs completion words "$line" 2>/dev/null)
  if [[ \${#COMPREPLY[@]} -eq 1 && \${COMPREPLY[0]} == *[:=] ]]; then compopt -o nospace; fi
}
complete -F _solovs solovs
for _solovs_link in ovs-vsctl ovsdb-client; do
  if [[ $(readlink -f "$(type -P $_solovs_link)") == "$(readlink -f "$(type -P solovs)")" ]]; then
    complete -F _solovs $_solovs_link
  fi
done
unset _solovs_link
`;

const ZSH = `#compdef solovs
# solovs completion for zsh. Load it with: source <(solovs completion zsh)
_solovs() {
  local -a found open whole
  found=("\${(@f)$(solovs completion words "\${(j: :)words[1,CURRENT]}" 2>/dev/null)}")
  open=(\${(M)found:#*[:=]})
  whole=(\${found:#*[:=]})
  (( $#open )) && compadd -Q -S '' -- $open
  (( $#whole )) && compadd -Q -- $whole
}
compdef _solovs solovs
for _solovs_link in ovs-vsctl ovsdb-client; do
  [[ \${commands[$_solovs_link]:A} == \${commands[solovs]:A} ]] && compdef _solovs $_solovs_link
done
unset _solovs_link
`;

export const completionScript = (shell: Shell): string => shell === "bash" ? BASH : ZSH;
