# Runs of a server that never came back are removed after a week: output first, claims a day later.
#
# Slowly and in batches, at most once an hour for each base directory, and never a run that is alive. Age is
# counted by this boot's own clock where it can be: wall clocks jump.

v_week=60480000

# aged RUN: it may go. Of this boot: by uptime. Of an earlier one: find already compared the file's date.
aged() {
    look "$1" || return 0
    [ "$v_first" = c ] && [ "$v_cb" = "$v_boot" ] || return 0
    [ $((v_now - v_t0)) -gt "$v_week" ] || return 1
    ! supervisor_alive && ! command_alive
}

# drop_older DAYS PATTERN: remove up to a batch of such files
drop_older() {
    set -- $(find . -type f -name "$2" -mtime "+$1" | head -n 200)
    v_n=$#
    for v_f in "$@"; do
        v_r=${v_f#./}
        v_b=${v_r#*.}
        v_b=${v_b%%.*}
        ! aged "${v_r%%.*}.$v_b" || set -- "$@" "$v_f"
    done
    shift "$v_n"
    [ $# -eq 0 ] || rm -f "$@"
}

expire() {
    cd "$v_dir" || return
    if [ ! -e X ]; then # the first runner here: nothing is old, and a new node has enough to do
        put '' >X
        return
    fi
    [ -z "$(find . -name X -mmin -60)" ] || return 0
    put '' >X
    now
    find . -type f -name 'runner-*' ! -name "${v_file##*/}" -mtime +30 -exec rm -f {} +
    while :; do
        drop_older 7 '*.*.*.[bcioepq]'
        [ "$v_n" -ge 200 ] || break
        sleep 2
    done
    while :; do
        drop_older 8 '*.*.[lE]*'
        [ "$v_n" -ge 200 ] || break
        sleep 2
    done
}
