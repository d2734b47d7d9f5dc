# One run: a supervisor S, the command C, and a pump for each output stream.
#
# S is a subshell of the runner. C claims the run by appending the first line of its log, then becomes the
# command by exec, so that the pid and the start time in the claim stay true. S keeps the read ends of both pipes:
# a pump that dies makes the command wait, it never kills it. Descriptors: 1 channel, 3 4 read ends, 5 7 write
# ends, 6 the reaper's pipe, 8 9 output files.

tail_size=65536

# fill FILE SIZE TEXT: decode into a file; false unless all the bytes arrived there
fill() {
    { undo "$3" >&8 && where 8; } 8>"$1" && [ "$v_pos" = "$2" ]
}

stage() {
    case $v_flags in
    *s*) size "$v_own.c" && [ "$v_size" = "$v_nc" ] && { [ "$v_ni" -eq 0 ] || { size "$v_own.i" && [ "$v_size" = "$v_ni" ]; }; } ;;
    *) fill "$v_own.c" "$v_nc" "$v_c" && { [ "$v_ni" -eq 0 ] || fill "$v_own.i" "$v_ni" "$v_i"; } ;;
    esac
}

# pipes: two anonymous pipes, 3<-5 and 4<-7. A here-document is one in most shells, and costs no process.
pipes() {
    if [ -n "$v_heredoc" ]; then
        exec 3<<E 4<<E
x
E
x
E
        read -r v_x <&3
        read -r v_x <&4
        exec 5>/proc/self/fd/3 7>/proc/self/fd/4
    else
        mkfifo "$v_own.p" "$v_own.q" || return 1
        exec 5<>"$v_own.p" 7<>"$v_own.q"
        exec 3<"$v_own.p" 4<"$v_own.q"
        exec 5>"$v_own.p" 7>"$v_own.q"
        rm -f "$v_own.p" "$v_own.q"
    fi
}

# pump: stdin to stdout, up to the cap, then the last bytes. Status 0: all of it; 9: over the cap; else: bytes were
# lost. dd stops after a number of reads and never holds a byte back or throws one away, so the cap is exact. Every
# read but the last brings a byte at least: less bytes than reads were allowed, and it has seen the end.
pump() {
    exec 3<&- 4<&- 5>&- 6>&- 7>&- 8>&- 9>&-
    v_n=0 v_pos=0
    while [ "$v_pos" -lt "$v_cap" ]; do
        v_from=$v_pos
        blocks $((v_cap - v_pos))
        if "$v_dd" bs="$v_bs" count="$v_count"; then
            where 1 && [ $((v_pos - v_from)) -ge "$v_count" ] || exit "$v_n"
        elif [ "$v_n" -gt 0 ]; then
            "$v_cat" >/dev/null
            exit 8
        else
            v_n=8
            where 1
        fi
    done
    tail -c "$tail_size"
    [ "$v_n" -gt 0 ] || exit 9
    exit "$v_n"
}

# blocks BYTES: v_bs and v_count, together no more than that: reads may come out short, never long
blocks() {
    if [ "$1" -ge 131072 ]; then
        v_bs=8192 v_count=$(($1 / 8192))
    elif [ "$1" -ge 4096 ]; then
        v_bs=$(($1 / 8)) v_count=8
    else
        v_bs=$1 v_count=1
    fi
}

# claim: the first whole line of the log is this one, or this process ends here. What ends where it would
# end in an empty file is the first for sure. S was there when C started, which is all that is known of its start.
claim() {
    peek self && now || exit 1
    v_x="${v_nl}c $v_nonce $v_digest $v_boot $v_pid $v_start $v_spid $v_start $v_now $v_timeout $v_grace .$v_nl"
    v_n=${#v_x}
    { put "$v_x" >&8 && where 8; } 8>>"$v_dir/$v_run.l" || exit 1
    [ "$v_pos" -eq "$v_n" ] || { look "$v_run" && [ "$v_cn" = "$v_nonce" ]; } || exit 1
}

# become: C. Everything before the claim may fail freely; after it there is only the exec.
become() {
    exec 3<&- 4<&- 6>&- 8>&- 9>&-
    claim
    case $v_flags in *a*) reply "st $v_run $v_nonce running none - - 0 0 0 0 0 0 - 0 0 " ;; esac
    if [ -n "$v_lc" ]; then LC_ALL=${v_lc#=}; else unset LC_ALL; fi
    umask "$v_umask"
    export VENDETTA_RUN="$v_run"
    [ "$v_ni" -eq 0 ] || exec <"$v_own.i"
    exec >&5 2>&7 5>&- 7>&-
    trap - HUP INT QUIT TERM PIPE USR1
    case $v_setsid in
    */perl) exec "$v_setsid" -MPOSIX=setsid -e 'setsid(); exec {$ARGV[0]} @ARGV' "$v_sh" "$v_own.c" ;;
    */python3) exec "$v_setsid" -c 'import os,sys;os.setsid();os.execv(sys.argv[1],sys.argv[1:])' "$v_sh" "$v_own.c" ;;
    *) exec "$v_setsid" "$v_sh" "$v_own.c" ;;
    esac
}

# await PID: v_rc = how that pump ended, or nothing when it still runs over a second after the command's end
await() {
    while :; do
        v_poked=''
        wait "$1"
        v_rc=$?
        [ -n "$v_poked" ] && [ "$v_rc" -gt 128 ] || return 0
        now
        [ $((v_now - v_t1)) -ge 100 ] && peek "$1" && [ "$v_state" != Z ] && break
    done
    v_rc='' v_stray=1
}

# kept FD STATUS: v_size, and v_cut when bytes are missing
kept() {
    where "$1"
    v_size=$v_pos v_cut=0
    case $2 in
    0) ;;
    '') [ "$v_pos" -lt "$v_cap" ] || v_cut=1 ;;
    9) [ $((v_pos - v_cap)) -lt "$tail_size" ] || v_cut=1 ;;
    *) v_cut=1 ;;
    esac
}

# stopped: the run was told to stop. Wait until nothing of it is left, or until the reaper gave up.
stopped() {
    survivors "$v_run"
    [ -n "$v_left" ] || { v_unsure=0 && return; }
    v_until=$((v_t1 + v_grace + 800))
    while [ -z "$v_gone" ] && [ "$v_now" -lt "$v_until" ]; do
        sleep 1 &
        wait "$!"
        look "$v_run"
        now
    done
    [ -n "$v_gone" ] || slay "$v_run"
    survivors "$v_run"
    v_unsure=${v_left:+1}
    v_unsure=${v_unsure:-0}
}

# finish: write down how it ended. On a disk so full that not even that line fits, the name of an empty file says it.
finish() {
    v_end="$v_code $v_dur $v_stop_as $v_os $v_oc $v_es $v_ec $v_stray $v_unsure"
    note "$v_run" "e $v_end" && return
    # shellcheck disable=SC2086
    set -- $v_end
    put '' >"$v_dir/$v_run.E.$1.$2.$3.$4.$5.$6.$7.$8.$9"
}

# Shells tell death by signal as 128, 256 or 384 and the signal.
portable_code() {
    v_code=$1
    [ "$v_code" -lt 384 ] || v_code=$((v_code - 256))
    [ "$v_code" -lt 256 ] || v_code=$((v_code - 128))
}

collect() {
    wait "$v_child"
    portable_code "$?"
    now
    v_t1=$v_now v_stray=0 v_unsure=0 v_poked=''
    trap 'v_poked=1' USR1
    look "$v_run"
    [ "$v_cn" = "$v_nonce" ] || return 1
    v_dur=$((v_t1 - v_t0)) v_stop_as=${v_stop:-none}
    [ -z "$v_stop" ] || stopped
    await "$v_po"
    v_ro=$v_rc
    await "$v_pe"
    v_re=$v_rc
    trap '' USR1
    kept 8 "$v_ro"
    v_os=$v_size v_oc=$v_cut
    kept 9 "$v_re"
    v_es=$v_size v_ec=$v_cut
    finish
    return 0
}

run() {
    pipes || return 1
    become &
    v_child=$!
    exec 5>&- 7>&-
    pump <&3 >&8 &
    v_po=$!
    pump <&4 >&9 &
    v_pe=$!
    collect
}

# refused: nothing was claimed by this delivery. Somebody else may have.
refused() {
    if look "$v_run"; then
        attach "$v_run" "$v_digest"
    else
        sorry "$v_own.p"
    fi
    rm -f "$v_own.c" "$v_own.i" "$v_own.o" "$v_own.e"
}

# sorry FILE: answer that nothing was claimed, and what keeps us from writing there
sorry() {
    v_x=$({ "$v_dd" if=/dev/zero bs=4096 count=16 | "$v_cat" >"$1"; } 2>&1)
    rm -f "$1"
    case $v_x in
    *'o space left'* | *uota*) reply 'err nospace the disk or the quota' ;;
    *[Dd]enied* | *ead-only*) reply "err start ${v_x##*: }" ;;
    *) reply "err start the command ended before it could claim the run" ;;
    esac
}

# supervise RUN NONCE DIGEST TIMEOUT GRACE CAP FLAGS SCRIPT_SIZE INPUT_SIZE SCRIPT INPUT
supervise() {
    trap '' HUP INT QUIT TERM
    exec </dev/null
    v_run=$1 v_nonce=$2 v_digest=$3 v_timeout=$4 v_grace=$5 v_cap=$6 v_flags=$7 v_nc=$8 v_ni=$9
    v_c=${10} v_i=${11}
    v_own=$v_dir/$v_run.$v_nonce
    number && v_spid=$v_pid
    if [ -n "$v_pid" ] && stage && { run; } 8>"$v_own.o" 9>"$v_own.e"; then
        put "e $v_run$v_nl" >&6
        v_kind=end
        # shellcheck disable=SC2086
        answer_done "$v_run" $v_end
        wipe "$v_run" "$v_nonce"
    else
        refused # the reaper is not told to forget the run: another delivery of it may go on, or be about to
    fi
}
