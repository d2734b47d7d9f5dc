# Asks a service from its own node: prints the HTTP status, or `open`. Exit codes: 0 it answered, 1 it did not,
# 69 there is nothing here that could ask.
#
# The line before sets v_kind (tcp, http or https), v_host, v_port, v_url, v_seconds, v_flags (curl's) and v_raw (the
# request for those who speak no HTTP themselves, as printf's %b takes it); the arguments are curl's for headers.

have() { command -v "$1" >/dev/null 2>&1; }

# have_perl: one that can connect, over either family of addresses
have_perl() { have perl && perl -MIO::Socket::IP -e 1 2>/dev/null; }

# status_of: the status in an answer's first line
status_of() {
    IFS=' ' read -r v_x v_status v_y || [ -n "$v_x" ] || exit 1
    case $v_x in HTTP/1.?) ;; *) exit 1 ;; esac
    case $v_status in [1-5][0-9][0-9]*) printf '%.3s\n' "$v_status" ;; *) exit 1 ;; esac
}

# talk: what the service says to the request; it is not read beyond the first bytes
talk() {
    if have_perl; then
        printf '%b' "$v_raw" | perl -MIO::Socket::IP -e '
            my $s = IO::Socket::IP->new(PeerAddr => $ARGV[0], PeerPort => $ARGV[1], Timeout => $ARGV[2]) or exit 1;
            local $/; print {$s} scalar <STDIN>; $s->flush; sysread($s, my $got, 4096); print $got // ""' \
            "$v_host" "$v_port" "$v_seconds"
    else
        printf '%b' "$v_raw" | nc -w "$v_seconds" "$v_host" "$v_port" 2>/dev/null
    fi
}

# listens: whether the kernel has a socket that listens on the port
listens() {
    v_hex=$(printf ':%04X' "$v_port")
    cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | while read -r v_n v_local v_remote v_state v_rest; do
        case $v_local:$v_state in *"$v_hex:0A") echo open && break ;; esac
    done
}

case $v_kind in
tcp)
    if have_perl; then
        perl -MIO::Socket::IP -e 'exit !IO::Socket::IP->new(PeerAddr => $ARGV[0], PeerPort => $ARGV[1], Timeout => $ARGV[2])' \
            "$v_host" "$v_port" "$v_seconds" && echo open && exit 0
        exit 1
    fi
    case $v_host in localhost | 127.*) ;; *) exit 69 ;; esac
    [ -r /proc/net/tcp ] || exit 69
    v_x=$(listens)
    [ -n "$v_x" ] && echo "$v_x" && exit 0
    exit 1
    ;;
*)
    if have curl; then
        curl -q -s $v_flags -o /dev/null -w '%{http_code}' --max-time "$v_seconds" --noproxy '*' "$@" "$v_url" || exit 1
    elif [ "$v_kind" = http ] && { have_perl || have nc; }; then
        talk | status_of
    else
        exit 69
    fi
    ;;
esac
