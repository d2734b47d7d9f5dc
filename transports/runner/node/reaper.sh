# The reaper: one detached process for each runner that enforces time limits and cancels, whatever else dies.
#
# It reads events from a pipe that the runner and the supervisors write to, and sleeps in that read while
# nothing runs. While something runs, a ticker writes an event each second. The pipe ends when the runner and
# all supervisors are gone. v_list holds " run:phase:until" for every run that may still be alive:
#   0 running   1 TERM sent, KILL at until   2 KILL sent, give up at until   3 reported, supervisor to finish

track() { case "$v_list " in *" $1:"*) ;; *) v_list="$v_list $1:0:0" ;; esac }

forget() {
    case "$v_list " in *" $1:"*) ;; *) return ;; esac
    v_a=${v_list%%" $1:"*}
    v_b=${v_list#*" $1:"}
    case $v_b in *' '*) v_list="$v_a ${v_b#* }" ;; *) v_list=$v_a ;; esac
}

# visit RUN PHASE UNTIL: look after one run; v_phase is empty when there is no more to do.
visit() {
    v_phase=$2 v_until=$3
    look "$1"
    case $v_first in
    k) v_phase='' ;;
    '') unclaimed ;;
    c)
        if [ -n "$v_end" ] || [ "$v_cb" != "$v_boot" ]; then
            v_phase=''
        else
            [ "$v_by" != p ] || salvage "$1"
            "phase_$2" "$1"
        fi
        ;;
    esac
}

# The start was announced but nothing is claimed: still under way, or refused. A minute is plenty.
unclaimed() {
    [ "$v_until" -gt 0 ] || v_until=$((v_now + 6000))
    [ "$v_now" -lt "$v_until" ] || v_phase=''
}

phase_0() {
    if [ -z "$v_stop" ] && [ "$v_now" -ge $((v_t0 + v_to)) ] && command_alive; then
        note "$1" "k timeout $v_now"
        v_stop=timeout
    fi
    if command_alive; then
        [ -n "$v_stop" ] || return 0
        [ "$v_cp" -gt 1 ] && kill -TERM "-$v_cp"
        v_phase=1 v_until=$((v_now + v_gr))
    elif supervisor_alive; then
        poke
    elif [ -n "$v_stop" ] && [ -z "$v_gone" ]; then
        v_phase=2 v_until=$((v_now + 500))
    else
        wipe "$1" "$v_cn"
        v_phase=''
    fi
}

phase_1() {
    if [ "$v_now" -ge "$v_until" ]; then
        slay "$1"
        v_phase=2 v_until=$((v_now + 500))
    elif ! command_alive; then
        survivors "$1"
        [ -n "$v_left" ] || settle "$1" 0
    fi
}

phase_2() {
    slay "$1"
    if [ -z "$v_left" ]; then
        settle "$1" 0
    elif [ "$v_now" -ge "$v_until" ]; then
        settle "$1" 1
    fi
}

phase_3() { poke || v_phase=''; }

# settle RUN LEFT: write down whether the stopped run is seen to be gone, and tell its supervisor
settle() {
    [ -n "$v_gone" ] || note "$1" "z $2"
    v_phase=3
    poke || { wipe "$1" "$v_cn" && v_phase=''; }
}

visit_all() {
    now
    v_new=''
    for v_w in $v_list; do
        v_r=${v_w%%:*}
        v_w=${v_w#*:}
        visit "$v_r" "${v_w%%:*}" "${v_w#*:}"
        [ -z "$v_phase" ] || v_new="$v_new $v_r:$v_phase:$v_until"
    done
    v_list=$v_new
}

# adopt: take over the runs of reapers that died. Two may adopt the same run: killing twice does no harm.
adopt() {
    set +f
    for v_j in "$v_dir"/J.*; do
        set -f
        [ "$v_j" != "$v_journal" ] && [ -e "$v_j" ] || continue
        # Its first line says whose it is, and that saves the others as long as that one is there.
        read -r v_a v_b <"$v_j"
        # shellcheck disable=SC2086
        set -- $v_b
        [ "$v_a" = R ] && [ "${3-}" = "$v_boot" ] && alive "$1" "$2" && continue
        v_runs='' v_owner=''
        while read -r v_a v_b; do
            case $v_a in R) v_owner=$v_b ;; r) v_runs="$v_runs $v_b" ;; esac
        done <"$v_j"
        # shellcheck disable=SC2086
        set -- $v_owner
        [ "${3-}" = "$v_boot" ] && alive "$1" "$2" && continue
        v_keep=''
        if [ "${3-$v_boot}" = "$v_boot" ]; then
            for v_r in $v_runs; do adopt_run "$v_r" || v_keep=1; done
        fi
        [ -n "$v_keep" ] || rm -f "$v_j"
    done
    set -f
}

# adopt_run RUN: also one that is not claimed yet, for its claim may be under way. False when it cannot be noted.
adopt_run() {
    look "$1"
    case $v_first in
    k) return 0 ;;
    c) [ -z "$v_end" ] && [ "$v_cb" = "$v_boot" ] || return 0 ;;
    esac
    track "$1"
    put "r $1$v_nl" >>"$v_journal"
}

# begin RUNNER: own the runner's journal, also after a predecessor that was killed
begin() {
    v_journal=$v_dir/J.$1
    peek self
    v_me="R $v_pid $v_start $v_boot"
    put "$v_me$v_nl" >>"$v_journal"
    [ -n "$v_apart" ] || recall
    adopt
}

recall() {
    while read -r v_a v_b; do
        [ "$v_a" != r ] || track "$v_b"
    done <"$v_journal"
}

# turn RUNNER: the runner writes to a fresh journal from here on
turn() {
    v_old=$v_journal v_journal=$v_dir/J.$1
    v_x=$v_me$v_nl
    for v_w in $v_list; do v_x="${v_x}r ${v_w%%:*}$v_nl"; done
    put "$v_x" >>"$v_journal"
    rm -f "$v_old"
}

# tick: while something runs there is a ticker, and a new one when that was killed. It is two processes, and either
# one tells of the end of the other: when the runner is gone, too, nobody else has anything to say here.
tick() {
    [ -n "$v_list" ] || return 0
    case ${v_ticker:+$1} in
    '') ;;
    r | e) return ;; # as often as commands, and a look costs more than they do
    *) ! alive "$v_ticker" "$v_since" || return 0 ;;
    esac
    v_turn=$((v_turn + 1))
    # They must not hold the read end: that has to go when the reaper goes.
    {
        exec 4>/proc/self/fd/3 3<&-
        sleep 1
        put "t $v_turn$v_nl" >&4
    } | {
        exec 4>/proc/self/fd/3 3<&-
        read -r v_x
        put "t $v_turn$v_nl" >&4
    } &
    v_ticker=$!
    peek "$v_ticker"
    v_since=$v_start
}

on_event() {
    case $1 in
    p) v_apart=1 ;; # a runner in perl looks after its own runs, and the journal says which
    x) v_apart='' ;; # and leaves none behind
    w) watch "$2" ;;
    s) waken "$2" ;;
    i) begin "$2" ;;
    j) turn "$2" ;;
    r) track "$2" ;;
    e) forget "$2" ;;
    a) adopt ;;
    n) ;; # are you there
    k) track "$2" && visit_all ;;
    t) # the first of the two
        [ "$2" = "$v_turn" ] && [ -n "$v_ticker" ] || return 0
        jobs >/dev/null # collects those that ended
        v_ticker=''
        visit_all
        ;;
    esac
}

# watch PID START: the runner in perl has runs, and one of their commands may stop it. Nothing: it has none any more.
watch() {
    [ -z "$v_watcher" ] || { kill -KILL "$v_watcher" && wait "$v_watcher"; }
    v_watcher=''
    [ -n "$1" ] || return 0
    # It must not hold the pipe, whose end tells of the runner's: it opens it when it has something to say.
    # shellcheck disable=SC2086
    watch_for_stops $1 </dev/null 3<&- &
    v_watcher=$!
}

watch_for_stops() {
    while sleep 1 && alive "$1" "$2"; do
        case $v_state in T | t) put "s $1$v_nl" >"/proc/$$/fd/3" ;; esac
    done
}

# waken PID: continue it. It may be stopped again at once: limits are enforced from here, too.
waken() {
    recall
    [ "$1" -gt 1 ] && kill -CONT "$1"
    visit_all
}

# inherit: the runner in perl is gone. Its runs are ours now, and their output waits in pipes that fill.
inherit() {
    v_apart=''
    recall
    visit_all
}

reap() {
    trap '' HUP INT QUIT TERM PIPE USR1
    unset VENDETTA_RUN
    exec 3<&0 # a command with & has another standard input
    v_dir=${0%/*} v_list='' v_ticker='' v_turn=0 v_journal='' v_apart='' v_watcher='' v_saved=''
    read -r v_boot </proc/sys/kernel/random/boot_id
    while :; do
        while read -r v_event v_arg; do
            on_event "$v_event" "$v_arg"
            tick "$v_event"
        done
        [ -z "$v_apart" ] || inherit
        [ -n "$v_list" ] || break
        sleep 1
        visit_all
    done
    rm -f "$v_journal"
}

# The shell reads a file as it goes: the rest of it is nothing to a reaper.
[ "${1-}" != reap ] || { reap && exit; }
