# Completion of bulk-invite for fish. The program lists what may stand in place of the last word, one line
# each with a tab and a description; a line that begins with a tab asks for names of files.
function __bulk_invite_complete
    set -l current (commandline -ct)
    set -l words (commandline -opc) $current
    for line in (env _BULK_INVITE_COMPLETE=complete_fish $words 2>/dev/null)
        if string match -q \t'*' -- $line
            set -l option (string match -r -- '^--[^=]*=' $current)
            for path in (__fish_complete_path (string replace -r -- '^--[^=]*=' '' $current))
                echo "$option$path"
            end
        else
            echo $line
        end
    end
end

complete --command bulk-invite --no-files --arguments '(__bulk_invite_complete)'
