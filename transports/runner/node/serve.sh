# The resident runner: reads one request a line from the channel, answers one line each.
#
# request: <length of rest> <sequence> <verb> <rest>      answer: <sequence> <length of rest> <rest>
# It uses builtins only on the way of a request, and forks only supervisors and slow verbs.

reply() { put "$v_seq ${#1} $1$v_nl"; }

# slurp FILE SIZE: v_text = a small file of plain text, newlines as US; false when it is anything else
slurp() {
    v_text=''
    [ "$2" -gt 0 ] || return 0
    v_last=''
    while IFS= read -r v_line || { v_last=1 && [ -n "$v_line" ]; }; do
        case $v_line in *[!\ -~$v_tab]*) return 1 ;; esac
        v_text=$v_text$v_line
        [ -z "$v_last" ] || break
        v_text=$v_text$v_us
    done <"$1"
    [ "${#v_text}" -eq "$2" ]
}

# answer RUN KIND: what is known about a run, with its output when that is small and plain
answer() {
    v_kind=$2
    if ! look "$1"; then
        reply "$v_kind $1 - absent none - - 0 0 0 0 0 0 - 0 0 "
    elif [ "$v_first" = k ]; then
        reply "$v_kind $1 - tombstone none - - 0 0 0 0 0 0 - 0 0 "
    elif ended "$1"; then
        # shellcheck disable=SC2086
        answer_done "$1" $v_end
    else
        answer_open "$1"
    fi
}

# ended RUN: after a look. A supervisor that could not write its last line left a file name.
ended() {
    [ -z "$v_end" ] || return 0
    set +f
    for v_x in "$v_dir/$1".E.*; do
        [ ! -e "$v_x" ] || v_end=${v_x#"$v_dir/$1".E.}
    done
    set -f
    [ -n "$v_end" ] || return 1
    v_ifs=$IFS IFS=.
    # shellcheck disable=SC2086
    set -- $v_end
    IFS=$v_ifs
    v_end="$*"
}

# answer_done RUN CODE DURATION STOP OUT CUT ERR CUT STRAY UNSURE
answer_done() {
    v_x="$v_kind $1 $v_cn done $4 $2 $3 $5 $6 $7 $8 $9 ${10}"
    v_f=$v_dir/$1.$v_cn
    v_size=$(($5 + $7))
    if [ "$v_size" -eq 0 ]; then
        reply "$v_x + 0 0 "
    elif [ "$v_size" -le 2048 ] && [ -e "$v_f.o" ] && slurp "$v_f.o" "$5" &&
        v_out=$v_text && slurp "$v_f.e" "$7"; then
        reply "$v_x + $5 $7 $v_out$v_text"
    else
        reply "$v_x - 0 0 "
    fi
}

# answer_open RUN: no end is known. Liveness first, then the log again: it may have just finished.
answer_open() {
    v_state_is=lost
    if supervisor_alive; then v_state_is=running; elif command_alive || saving; then v_state_is=orphan; fi
    look "$1"
    if ended "$1"; then
        # shellcheck disable=SC2086
        answer_done "$1" $v_end
        return
    fi
    grown "$1"
    v_x=0
    case $v_gone in 1) v_x=1 ;; esac
    reply "$v_kind $1 $v_cn $v_state_is ${v_stop:-none} - - $v_os 0 $v_es 0 0 $v_x - 0 0 "
}

# grown RUN: v_os v_es = the sizes of its output so far
grown() {
    v_os='' v_es=''
    if [ "$v_state_is" = running ] && [ -z "$v_by" ]; then
        { read -r v_x v_os <"/proc/$v_sp/fdinfo/8" && read -r v_x v_es <"/proc/$v_sp/fdinfo/9"; } 2>/dev/null
    fi
    [ -n "$v_os" ] || { size "$v_dir/$1.$v_cn.o" && v_os=$v_size; }
    [ -n "$v_es" ] || { size "$v_dir/$1.$v_cn.e" && v_es=$v_size; }
}

# attach RUN DIGEST: the id is taken. The same digest may look on, another one is a conflict.
attach() {
    if [ "$v_first" = c ] && [ "$v_cd" != "$2" ]; then
        reply "err conflict $1"
    else
        answer "$1" st
    fi
}

# summon: start the reaper if it is not there. A write to its pipe fails exactly when it is gone.
summon() {
    put "$1$v_nl" >&6 && return 0
    [ -s "$v_file" ] || store || return 1
    if [ -n "$v_heredoc" ]; then
        exec 5<<E
x
E
        read -r v_x <&5
        exec 6>/proc/self/fd/5
    else
        mkfifo "$v_dir/F.$v_rid" || return 1
        exec 6<>"$v_dir/F.$v_rid"
        exec 5<"$v_dir/F.$v_rid"
        exec 6>"$v_dir/F.$v_rid"
        rm -f "$v_dir/F.$v_rid"
    fi
    detach <&5 >/dev/null 5<&- 6>&- &
    exec 5<&-
    put "i $v_rid.$v_gen$v_nl" >&6 && put "$1$v_nl" >&6
}

detach() {
    case $v_setsid in
    */perl) exec "$v_setsid" -MPOSIX=setsid -e 'setsid(); exec {$ARGV[0]} @ARGV' "$v_sh" "$v_file" reap ;;
    */python3) exec "$v_setsid" -c 'import os,sys;os.setsid();os.execv(sys.argv[1],sys.argv[1:])' "$v_sh" "$v_file" reap ;;
    *) exec "$v_setsid" "$v_sh" "$v_file" reap ;;
    esac
}

# journal RUN: from here on the reaper, and whoever comes after it, knows of this run
journal() {
    v_count=$((v_count + 1))
    if [ "$v_count" -gt 512 ]; then
        v_count=0 v_gen=$((v_gen + 1))
        summon "j $v_rid.$v_gen"
    fi
    put "r $1$v_nl" >>"$v_dir/J.$v_rid.$v_gen" && summon "r $1"
}

verb_start() {
    if look "$1"; then
        attach "$1" "$3"
    elif journal "$1"; then
        supervise "$@" &
    else
        sorry "$v_dir/$1.$2.p"
    fi
}

verb_cancel() {
    if ! look "$1" || { [ "$v_first" = c ] && [ -z "$v_end$v_stop" ] && { supervisor_alive || command_alive; }; }; then
        now
        note "$1" "k cancel $v_now" || { reply "err nospace $1" && return; }
    fi
    look "$1"
    [ "$v_first" != c ] || [ -n "$v_end" ] || summon "k $1"
    answer "$1" st
}

# verb_gc RUN...: in a subshell. One rm for all of them: some filesystems punish many small deletions.
verb_gc() {
    v_n=$#
    for v_r in "$@"; do
        look "$v_r" && [ "$v_first" = c ] || continue
        ended "$v_r" || ! { supervisor_alive || command_alive || saving; } || continue
        v_f=$v_dir/$v_r.$v_cn
        set -- "$@" "$v_f.c" "$v_f.i" "$v_f.o" "$v_f.e"
        case $v_r in 000000000000*) set -- "$@" "$v_dir/$v_r.l" ;; esac # fleeting: it may as well be done again
    done
    shift "$v_n"
    [ $# -eq 0 ] || rm -f "$@"
    reply ok
}

# verb_probe: what was found out within the last minute, by whichever runner, and the load. Else this one looks around.
verb_probe() {
    if recent; then
        summon n
        report
    else
        summon a
        { survey && report; } </dev/null &
        expire </dev/null >/dev/null 6>&- &
    fi
}

# recent: v_facts, when they are
recent() {
    now
    v_y=''
    read -r v_x v_y v_facts <"$v_dir/P" || return 1
    case $v_y in '' | *[!0-9]*) return 1 ;; esac
    [ "$v_x" = "$v_boot" ] && [ "$v_now" -ge "$v_y" ] && [ $((v_now - v_y)) -lt 6000 ] || return 1
    case $v_facts in *' .') v_facts=${v_facts% .} ;; *) return 1 ;; esac
}

report() {
    read -r v_a v_b </proc/loadavg
    reply "pr $v_now$v_facts${v_us}load=$v_a"
}

# survey: v_facts, separated by US, and a line of them for everybody. In a subshell.
survey() {
    now
    v_facts=''
    fact shell "$v_flavour"
    fact user "$(id -un)"
    fact hostname "$(uname -n)"
    fact kernel "$(uname -s) $(uname -r)"
    fact arch "$(uname -m)"
    fact os "$(. /etc/os-release && put "${PRETTY_NAME-}")"
    fact cpus "$(getconf _NPROCESSORS_ONLN || grep -c '^processor' /proc/cpuinfo)"
    while read -r v_a v_b; do case $v_a in MemTotal:) fact memory_kib "${v_b%% *}" ;; esac done </proc/meminfo
    fact disk_free_kib "$(df -Pk "$v_dir" | tail -n 1 | tr -s ' ' | cut -d ' ' -f 4)"
    put "$v_boot $v_now $v_facts .$v_nl" >"$v_dir/P"
    return 0 # also where that is full
}

# fact NAME VALUE: answers are plain ASCII
fact() {
    case $2 in *[!\ -~]*) set -- "$1" "$(put "$2" | tr -cd ' -~')" ;; esac
    v_facts="$v_facts$v_us$1=$2"
}
