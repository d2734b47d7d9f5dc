# Shared by the runner, its supervisors and the reaper: processes, clocks and a run's log.
#
# Every variable is called v_*: a name that the login's environment also has would be changed for the command.
# No globbing (set -f) except where a line says set +f. Nothing here is a bashism; `read` is always a builtin,
# so that a redirection from /proc/self looks at this very process, also in a subshell, where $$ does not.

v_nl='
'

# One string, one write: lines of other processes never come in between. mksh has no printf of its own, and an
# external one would show its arguments to every user of the node.
case ${KSH_VERSION-} in
*MIRBSD*)
    put() { print -rn -- "$1"; }
    undo() { print -n -- "$1"; }
    ;;
*)
    put() { printf '%s' "$1"; }
    undo() { printf '%b' "$1"; }
    ;;
esac

# now: v_now = hundredths of a second since boot
now() {
    read -r v_now v_x </proc/uptime
    v_now=${v_now%.*}${v_now#*.}
    while :; do case $v_now in 0?*) v_now=${v_now#0} ;; *) break ;; esac done # 0.05: no octal numbers
}

# peek PID|self: v_pid v_state v_group v_session v_start. False when there is no such process.
# A process may be called "a) b" or hold a newline: only what follows the last ") " counts.
peek() {
    v_x=''
    while IFS= read -r v_y; do v_x="$v_x $v_y"; done <"/proc/$1/stat"
    [ -n "$v_x" ] || return 1
    v_pid=${v_x# }
    v_pid=${v_pid%% *}
    # shellcheck disable=SC2086
    set -- ${v_x##*) }
    v_state=$1 v_group=$3 v_session=$4 v_start=${20}
}

# number: v_pid = this process's, also in a subshell. The lines before it are short; /proc/self/stat is a long one,
# and shells read byte by byte.
number() {
    v_pid=''
    while read -r v_x v_y; do
        case $v_x in Tgid:) v_pid=$v_y && return ;; esac
    done </proc/self/status
    return 1
}

# alive PID START: that very process runs. Not a zombie, not another one with its number.
alive() {
    peek "$1" || return 1
    case $v_state in Z | X | x) return 1 ;; esac
    [ "$v_start" = "$2" ]
}

# where FD: v_pos = the position of that descriptor, shared by all processes that inherited it
where() { read -r v_x v_pos <"/proc/self/fdinfo/$1"; }

# size FILE: v_size. (wc reads the whole file in busybox; ls does not.)
size() {
    set -- $(ls -ln "$1")
    v_size=${5-0}
}

# note RUN TEXT: append one line to a run's log. The first complete line is the claim (c) or the tombstone (k).
# The newline in front keeps a torn line from swallowing this one; the dot says that it is whole.
note() { put "$v_nl$2 .$v_nl" >>"$v_dir/$1.l"; }

# look RUN: v_first (c, k or nothing), v_claim, v_stop, v_gone, v_saver, v_end. False when the run is not known.
look() {
    v_first='' v_claim='' v_stop='' v_gone='' v_saver='' v_end=''
    [ -e "$v_dir/$1.l" ] || return 1
    while read -r v_a v_b; do
        case $v_b in *' .') v_b=${v_b% .} ;; *) continue ;; esac
        [ -n "$v_first" ] || v_first=$v_a
        case $v_a in
        c) [ "$v_first" != c ] || [ -n "$v_claim" ] || v_claim=$v_b ;;
        k) [ -n "$v_stop" ] || v_stop=${v_b%% *} ;;
        z) v_gone=$v_b ;;
        s) v_saver=$v_b ;;
        e) [ -n "$v_end" ] || v_end=$v_b ;;
        esac
    done <"$v_dir/$1.l"
    [ -n "$v_first" ] || return 1
    # shellcheck disable=SC2086
    set -- $v_claim
    v_cn=${1-} v_cd=${2-} v_cb=${3-} v_cp=${4-} v_cs=${5-} v_sp=${6-} v_ss=${7-} v_t0=${8-} v_to=${9-} v_gr=${10-}
    shift $(($# > 10 ? 10 : $#))
    v_by=${1-} v_cc=${2-0} v_co=${3-} v_ce=${4-}
}

command_alive() { [ "$v_cb" = "$v_boot" ] && alive "$v_cp" "$v_cs"; }

# supervisor_alive: the claim knows its pid and a time before which it was there. Who got that pid later is another one.
supervisor_alive() {
    [ "$v_cb" = "$v_boot" ] && peek "$v_sp" || return 1
    case $v_state in Z | X | x) return 1 ;; esac
    [ "$v_start" -le "$v_ss" ]
}

# saving: the supervisor is gone, and what the command wrote is still being read
# shellcheck disable=SC2086
saving() { [ -n "$v_saver" ] && [ "$v_cb" = "$v_boot" ] && alive $v_saver; }

# poke: have the supervisor of the run looked at stop waiting for output; also when its own command has stopped it
poke() { supervisor_alive && [ "$v_sp" -gt 1 ] && kill -USR1 "$v_sp" && kill -CONT "$v_sp"; }

# carries PID RUN: that process has the run's cookie in its environment. (Not every grep can look behind a NUL.)
carries() { tr '\000' '\n' <"/proc/$1/environ" | grep -qxF "VENDETTA_RUN=$2"; }

# survivors RUN: v_left = processes of the run looked at: its session, its group, or carriers of its cookie.
# All of them are younger than the command, which leaves few environments to read.
survivors() {
    v_left=''
    set +f
    for v_p in /proc/[0-9]*; do
        peek "${v_p#/proc/}" || continue
        case $v_state in Z | X | x) continue ;; esac
        [ "$v_start" -ge "$v_cs" ] && [ "$v_session" -ne 0 ] || continue
        if [ "$v_group" = "$v_cp" ] || [ "$v_session" = "$v_cp" ] || carries "$v_pid" "$1"; then
            v_left="$v_left $v_pid"
        fi
    done
    set -f
}

# slay RUN: KILL whatever is left of the run looked at. Never a number that may not be ours any more.
slay() {
    command_alive && [ "$v_cp" -gt 1 ] && kill -KILL "-$v_cp"
    survivors "$1"
    for v_p in $v_left; do [ "$v_p" -gt 1 ] && kill -KILL "$v_p"; done
}

# wipe RUN NONCE: empty the script and the input of a delivery (they may hold secrets). Unlinking is for gc.
wipe() {
    for v_x in c i; do
        [ ! -s "$v_dir/$1.$2.$v_x" ] || put '' >"$v_dir/$1.$2.$v_x"
    done
}
