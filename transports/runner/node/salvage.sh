# The output of runs whose supervisor, a runner in perl, was killed: their commands hold the pipes open.

# salvage RUN: after a look. Once for each run; what comes from now on goes behind what is there.
salvage() {
    case "$v_saved " in *" $1 "*) return ;; esac
    ! supervisor_alive && command_alive && ! saving || return 0
    v_saved="$v_saved $1"
    rescue "$1" &
}

# rescue RUN: the log names this process, and while it is there the run is not lost yet. The command's end leaves seconds
# to read what it wrote: whoever else holds its pipes is not waited for.
rescue() {
    exec 3<&- # the reaper's own pipe has to go when the reaper goes
    peek self && note "$1" "s $v_pid $v_start"
    refill 1 "$v_co" "$v_dir/$1.$v_cn.o" &
    v_a=$!
    refill 2 "$v_ce" "$v_dir/$1.$v_cn.e" &
    v_b=$! v_left=3
    while [ "$v_left" -gt 0 ] && { refilling "$v_a" || refilling "$v_b"; }; do
        sleep 1
        command_alive || v_left=$((v_left - 1))
    done
}

refilling() { peek "$1" && [ "$v_state" != Z ]; }

# refill FD INODE FILE: only from the pipe that the claim names. The command may have turned to another one since.
refill() {
    exec <"/proc/$v_cp/fd/$1" || return # first of all: the pipe goes with the command
    case $(ls -ln /proc/self/fd/0) in *"-> pipe:[$2]") ;; *) return ;; esac
    exec >>"$3" || return
    while size "$3" && [ "$v_size" -lt "$v_cc" ]; do
        blocks $((v_cc - v_size))
        v_n=$v_size
        dd bs="$v_bs" count="$v_count" || exec cat >/dev/null
        size "$3"
        [ "$v_size" -gt "$v_n" ] || return
    done
    exec tail -c "$tail_size"
} 2>/dev/null
