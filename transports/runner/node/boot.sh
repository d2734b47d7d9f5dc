# How the runner comes up: look around, greet, serve until the channel ends.

# give_up CODE TEXT: the greeting that is none
give_up() {
    put "${v_nl}VND1 $v_hello err $1 $2$v_nl"
    exit 1
}

# The node must have these.
look_around() {
    peek self && number && now && read -r v_boot </proc/sys/kernel/random/boot_id && where 0 ||
        give_up noproc 'no usable /proc'
    for v_x in cat dd grep head ls mkdir mv rm sleep tail tr; do
        command -v "$v_x" >/dev/null || give_up tool "$v_x"
    done
    v_heredoc=''
    [ ! -p /proc/self/fd/3 ] || v_heredoc=1
} 3<<E
x
E

# tools: what the runner in shell uses, and perl does not. Absolute paths for what runs often: an exec by name tries
# every PATH entry.
tools() {
    v_cat=$(command -v cat) v_dd=$(command -v dd)
    v_setsid=$(command -v setsid || command -v perl || command -v python3) || give_up tool setsid
    characters
}

characters() {
    v_us=$(printf '\037')
    v_tab=$(printf '\t')
}

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
    if [ ! -d "$v_dir" ] && ! v_x=$(mkdir -p "$v_dir" 2>&1); then
        case $v_x in *'o space left'* | *uota*) give_up nospace "$v_dir" ;; esac
        give_up base "${v_x##*: }: $v_dir"
    fi
    case $(ls -ld "$v_dir") in
    drwx------*) ;;
    *) chmod 700 "$v_dir" || give_up base "wrong owner: $v_dir" ;;
    esac
    [ -O "$v_dir" ] || give_up base "wrong owner: $v_dir"
}

# identify: v_id, drawn once for these files. Who answers with another one never had the runs that are asked about,
# although address, host key and kernel may be the same: a container that was replaced, a home that was wiped.
identify() {
    v_id=''
    [ -s "$v_dir/I" ] && read -r v_id <"$v_dir/I" && return
    read -r v_x </proc/sys/kernel/random/uuid
    put "$v_x$v_nl" >"$v_dir/I.$v_hello" || { rm -f "$v_dir/I.$v_hello" && return; }
    ln "$v_dir/I.$v_hello" "$v_dir/I" || [ -s "$v_dir/I" ] || mv -f "$v_dir/I.$v_hello" "$v_dir/I"
    rm -f "$v_dir/I.$v_hello"
    read -r v_id <"$v_dir/I"
}

# The reaper runs from a file. Without space for it this runner still answers, and refuses to start runs
# until there is some.
store() {
    [ ! -e "$v_file" ] || [ "$(cat "$v_file")" != "$v_2" ] || return 0
    put "$v_2" >"$v_file.$v_rid" && [ "$(cat "$v_file.$v_rid")" = "$v_2" ] &&
        mv -f "$v_file.$v_rid" "$v_file" && return
    rm -f "$v_file.$v_rid"
}

# v_load: what perl is told as its program. It reads the rest of it from the channel, so that nobody sees it in ps.
# Of POSIX it takes what is compiled: the module around that takes longer to load than all the rest.
v_load='use 5.010; use Fcntl ();
eval qq{\n#line 1 "$INC{"Fcntl.pm"}"\npackage POSIX; XSLoader::load("POSIX")};
defined &POSIX::setsid and defined &POSIX::EINTR or require POSIX;
my ($n, $p) = (shift, "");
while (length $p < $n) { sysread(STDIN, $p, $n - length $p, length $p) or exit 1 }
$p =~ tr/\037/\n/;
if (not eval $p) {
    $@ =~ s/[^ -~]+/ /g;
    syswrite(STDOUT, "\nVND1 $ARGV[0] err perl " . substr($@, 0, 300) . "\n");
    exit 1;
}
serve(@ARGV)'

# hand_over: from here on perl serves, if the client sent it along and the node has one. It is told before: if nothing
# follows, that perl is too old, or lacks modules, or is broken, and the client comes again for the shell.
# What would change that perl is taken from its environment, and put back for the commands by itself.
hand_over() {
    [ "$v_left" -gt 0 ] || return 0
    if v_perl=$(command -v perl) && [ -s "$v_file" ]; then
        put "${v_nl}VND1 $v_hello perl$v_nl"
        set -- "LC_ALL$v_lc" "${PERL5OPT+PERL5OPT=$PERL5OPT}" "${PERL5LIB+PERL5LIB=$PERL5LIB}" \
            "${PERLLIB+PERLLIB=$PERLLIB}" "${PERL5DB+PERL5DB=$PERL5DB}" "${PERL_UNICODE+PERL_UNICODE=$PERL_UNICODE}" \
            "${PERLIO+PERLIO=$PERLIO}" "${PERL_SIGNALS+PERL_SIGNALS=$PERL_SIGNALS}"
        unset PERL5OPT PERL5LIB PERLLIB PERL5DB PERL_UNICODE PERLIO PERL_SIGNALS
        export LC_ALL
        trap - PIPE USR1
        exec "$v_perl" -e "$v_load" "$v_left" "$v_hello" "$v_boot" "${v_id:--}" "$v_dir" "$v_file" "$v_sh" "$v_umask" "$@"
    fi
    [ "$v_prefer" != perl ] || give_up tool perl
    skip "$v_left"
}

# skip COUNT: bytes that come next on the channel
skip() {
    v_n=$1
    while [ "$v_n" -gt 0 ]; do
        v_x=$(dd bs="$v_n" count=1) && [ -n "$v_x" ] || exit 1
        v_n=$((v_n - ${#v_x}))
    done
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
    probe) verb_probe ;;
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

# serve: v_hello v_base v_sha v_sh v_prefer v_left come from the loader's first line, v_2 is this very text
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
    identify
    hand_over
    tools
    summon a
    put "${v_nl}VND1 $v_hello hello $v_boot $v_flavour ${v_id:--} $v_dir$v_nl"
    serve_loop
}

# aside VERB SEQUENCE: the runner in perl has this one answer
aside() {
    set -f
    v_dir=${0%/*} v_file=$0 v_seq=${2-}
    read -r v_boot </proc/sys/kernel/random/boot_id
    flavour
    characters
    case $1 in
    probe) survey && report ;;
    expire) expire ;;
    esac
}

case ${1-} in
probe | expire) aside "$@" ;;
*) serve ;;
esac
