# Looks at what runs on the node, with what every node has: prints a line for each thing that it finds, its fields
# separated by tabs, and a last line `end` that says that all of them are there.
#
#   socket     address:port, both hexadecimal as in /proc/net/tcp   the name of its process, or -
#   container  its name   its state   its published ports, as docker tells them
#   systemd    its unit   active, failed, …
#
# The line before sets v_units: patterns of systemd's units, separated by blanks.

v_tab=$(printf '\t')

have() { command -v "$1" >/dev/null 2>&1; }

# within COMMAND...: ended after ten seconds, where the node can do that
within() { if have timeout; then timeout 10 "$@"; else "$@"; fi; }

# holders: inode and process of every socket that this user may see
holders() {
    # shellcheck disable=SC2012 # one ls for all of them; nothing is taken from it but numbers
    ls -l /proc/[0-9]*/fd 2>/dev/null | awk '
        /^\/proc\// { split($1, part, "/"); process = part[3] }
        match($0, /socket:\[[0-9]+\]/) { print substr($0, RSTART + 8, RLENGTH - 9), process }'
}

# listening: address and inode of every TCP socket that listens
listening() { cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk '$4 == "0A" { print $2, $10 }'; }

# process_name PID: v_name, with nothing in it that is no plain character
process_name() {
    v_name=$(tr -cd ' -~' <"/proc/$1/comm" 2>/dev/null)
    [ -n "$v_name" ] || v_name=-
}

sockets() {
    { holders && listening; } | awk '
        $1 !~ /:/ { process[$1] = $2; next }
        { print $1, ($2 in process) ? process[$2] : "-" }' | sort -u | while read -r v_at v_pid; do
        process_name "$v_pid"
        printf 'socket\t%s\t%s\n' "$v_at" "$v_name"
    done
}

containers() {
    for v_tool in docker podman; do
        have "$v_tool" || continue
        within "$v_tool" ps --format "container$v_tab{{.Names}}$v_tab{{.State}}$v_tab{{.Ports}}" 2>/dev/null
    done
}

units() {
    { [ -n "$v_units" ] && have systemctl; } || return 0
    set -f
    within systemctl list-units --type=service --all --plain --no-legend --no-pager -- $v_units 2>/dev/null |
        while read -r v_unit v_load v_active v_rest; do printf 'systemd\t%s\t%s\n' "$v_unit" "$v_active"; done
}

LC_ALL=C
export LC_ALL
sockets | head -n 512
containers | head -n 256
units | head -n 256
echo end
