# How the runner comes up: look around, greet, serve until the channel ends.

# give_up CODE TEXT: the greeting that is none
give_up() {
    put "${v_nl}VND1 $v_hello err $1 $2$v_nl"
    exit 1
}

# The node must have these. Absolute paths for what runs often: an exec by name tries every PATH entry.
look_around() {
    peek self && now && read -r v_boot </proc/sys/kernel/random/boot_id && where 0 ||
        give_up noproc 'no usable /proc'
    for v_x in cat dd grep head ls mkdir mv rm sleep tail tr; do
        command -v "$v_x" >/dev/null || give_up tool "$v_x"
    done
    v_cat=$(command -v cat) v_dd=$(command -v dd)
    v_setsid=$(command -v setsid || command -v perl || command -v python3) || give_up tool setsid
    v_heredoc=''
    [ ! -p /proc/self/fd/3 ] || v_heredoc=1
} 3<<E
x
E

flavour() {
    v_flavour=sh
    [ -z "${BASH_VERSION-}" ] || v_flavour=bash
    [ -z "${KSH_VERSION-}" ] || v_flavour=ksh
    [ -z "${YASH_VERSION-}" ] || v_flavour=yash
}

# A home may be shared between nodes: every node has its own folder in it.
host_key() {
    v_host=''
    [ ! -r /etc/machine-id ] || read -r v_host </etc/machine-id
    case $v_host in
    '' | *[!0-9a-f]*) v_host=$(uname -n | tr -c 'A-Za-z0-9.\n-' '_') ;;
    esac
    case $v_host in '' | .*) give_up base 'the node has neither a machine id nor a host name' ;; esac
}

settle_in() {
    case $v_base in
    /*) v_dir=$v_base/$v_host/v1 ;;
    *) v_dir=$HOME/$v_base/$v_host/v1 ;;
    esac
    v_file=$v_dir/runner-$v_sha.sh
    if ! v_x=$(mkdir -p "$v_dir" 2>&1); then
        case $v_x in *'o space left'* | *uota*) give_up nospace "$v_dir" ;; esac
        give_up base "${v_x##*: }: $v_dir"
    fi
    case $(ls -ld "$v_dir") in
    drwx------*) ;;
    *) chmod 700 "$v_dir" || give_up base "wrong owner: $v_dir" ;;
    esac
    [ -O "$v_dir" ] || give_up base "wrong owner: $v_dir"
}

# The reaper runs from a file. Without space for it this runner still answers, and refuses to start runs
# until there is some.
store() {
    [ ! -e "$v_file" ] || [ "$(cat "$v_file")" != "$(undo "$v_2")" ] || return 0
    undo "$v_2" >"$v_file.$v_rid" && [ "$(cat "$v_file.$v_rid")" = "$(undo "$v_2")" ] &&
        mv -f "$v_file.$v_rid" "$v_file" && return
    rm -f "$v_file.$v_rid"
}

on_request() {
    jobs >/dev/null # collects supervisors that ended; nothing else here does
    case $v_verb in
    start) verb_start "$@" ;;
    status)
        summon n
        answer "$1" st
        ;;
    cancel) verb_cancel "$1" ;;
    gc) verb_gc "$@" & ;;
    ping)
        summon n
        reply pong
        ;;
    probe)
        summon a
        verb_probe </dev/null &
        expire </dev/null >/dev/null 6>&- &
        ;;
    *) reply "err verb $v_verb" ;;
    esac
}

serve_loop() {
    while read -r v_len v_seq v_verb v_rest; do
        [ "${#v_rest}" -eq "$v_len" ] || break
        # shellcheck disable=SC2086
        on_request $v_rest
    done
}

# serve: v_hello v_base v_sha v_sh come from the loader's first line, v_2 is this very text, encoded
serve() {
    set -f
    v_umask=$(umask)
    umask 077
    v_lc=${LC_ALL+=$LC_ALL}
    LC_ALL=C
    [ -z "${BASH_VERSION-}" ] || set -o posix
    unset VENDETTA_RUN
    trap '' PIPE USR1
    [ "$PWD" = "$HOME" ] || cd "$HOME" || give_up base 'no home directory'
    look_around
    flavour
    host_key
    settle_in
    v_rid=$v_hello v_gen=0 v_count=0
    store
    exec 2>/dev/null
    summon a
    put "${v_nl}VND1 $v_hello hello $v_boot $v_flavour $v_dir$v_nl"
    expire </dev/null >/dev/null 6>&- &
    serve_loop
}

case ${1-} in
reap) reap ;;
*) serve ;;
esac
