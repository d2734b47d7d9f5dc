# Bulk on a channel of its own: a script or an input that is too large for a request line, and output.
#
# The loader's first line sets v_hello, v_own (the delivery's files, without the suffix) and the numbers.

header() { printf '\nVND1 %s %s\n' "$v_hello" "$1"; }

# size FILE: v_size. (wc reads the whole file in busybox; ls does not.)
size() {
    set -- $(ls -ln "$1")
    v_size=${5-0}
}

# span FILE OFFSET COUNT: v_count = how many of those bytes are there
span() {
    v_count=0
    [ -e "$1" ] || return 0
    size "$1"
    v_count=$((v_size - $2))
    [ "$v_count" -le "$3" ] || v_count=$3
    [ "$v_count" -gt 0 ] || v_count=0
}

# block FILE NUMBER COUNT: whole blocks of a file, fast everywhere. (Some heads and tails go byte by byte.)
block() { dd if="$1" bs=65536 skip="$2" count="$3" 2>/dev/null; }

# send FILE OFFSET COUNT: exactly those bytes: the rest of a block, whole blocks, the beginning of a block
send() {
    v_block=$(($2 / 65536)) v_skip=$(($2 % 65536)) v_left=$3
    if [ "$v_skip" -gt 0 ] && [ "$v_left" -gt 0 ]; then
        v_part=$((65536 - v_skip))
        [ "$v_part" -le "$v_left" ] || v_part=$v_left
        block "$1" "$v_block" 1 | tail -c "+$((v_skip + 1))" | head -c "$v_part"
        v_block=$((v_block + 1)) v_left=$((v_left - v_part))
    fi
    [ "$v_left" -lt 65536 ] || block "$1" "$v_block" $((v_left / 65536))
    [ $((v_left % 65536)) -eq 0 ] || block "$1" $((v_block + v_left / 65536)) 1 | head -c $((v_left % 65536))
}

fetch() {
    span "$v_own.o" "$v_off_o" "$v_max_o"
    v_n=$v_count
    span "$v_own.e" "$v_off_e" "$v_max_e"
    v_m=$v_count
    header "ok $v_n $v_m"
    send "$v_own.o" "$v_off_o" "$v_n"
    send "$v_own.e" "$v_off_e" "$v_m"
}

# take: everything that comes is the script and then the input. Nothing is in place unless every byte came.
take() {
    umask 077
    if cat >"$v_own.b" && size "$v_own.b" && [ "$v_size" -eq $((v_nc + v_ni)) ] &&
        head -c "$v_nc" "$v_own.b" >"$v_own.c" && tail -c "+$((v_nc + 1))" "$v_own.b" >"$v_own.i" &&
        size "$v_own.c" && [ "$v_size" -eq "$v_nc" ] && size "$v_own.i" && [ "$v_size" -eq "$v_ni" ]; then
        rm -f "$v_own.b"
        header ok
        return
    fi
    v_x=$({ echo 'probe probe probe' | cat >"$v_own.c"; } 2>&1)
    rm -f "$v_own.b" "$v_own.c" "$v_own.i"
    case $v_x in
    *'o space left'* | *uota*) header "nospace" ;;
    *) header "failed ${v_x##*: }" ;;
    esac
}

"$v_io"
