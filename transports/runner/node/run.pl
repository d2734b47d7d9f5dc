# One run: the command C, a child of this process, and its two pipes, which this process copies into files.
#
# C claims the run by appending the first line of its log, then becomes the command by exec, so that the pid and
# the start time in the claim stay true. C has its pipes open for reading, too: if this process dies, C may
# have to wait, but it is not killed, and the reaper reads on.

my $HEAD_START = 0.02;  # seconds for C to become the command
my ($births, $born);    # a pipe: commands that have claimed, and whose claim is to be acknowledged

sub verb_start {
    my ($seq, $run, $nonce, $digest, $timeout, $grace, $cap, $flags, $nc, $ni, $c, $i) = @_;
    my $r = {
        seq => $seq, run => $run, nonce => $nonce, digest => $digest, flags => $flags, own => "$dir/$run.$nonce",
        timeout => $timeout, grace => $grace, cap => $cap, input => $ni, stop => '', phase => 0, nap => 0.2, seen => 0,
    };
    return if vacant($r) and journal($run) and watch_me() and stage($r, $nc, $c, $i) and launch($r);
    refuse($r, $!);
}

# vacant: the log is open from here to the end, C's claim included; and nobody has claimed the run yet, as it seems.
sub vacant {
    my ($r) = @_;
    sysopen($r->{log}, "$dir/$r->{run}.l", O_RDWR | O_APPEND | O_CREAT) or return 0;
    my $text = drink($r->{log});
    return defined $text && ($text eq '' || parse($r->{run}, $text)->{first} eq '');
}

# stage: script and input are in place. Those that came on a channel of their own are counted once more.
sub stage {
    my ($r, $nc, $c, $i) = @_;
    my $own = $r->{own};
    if ($r->{flags} =~ /s/) {
        $! = POSIX::ENOENT();
        return -e "$own.c" && -s _ == $nc && (!$r->{input} || -e "$own.i" && -s _ == $r->{input});
    }
    return fill("$own.c", undo($c, $nc)) && (!$r->{input} || fill("$own.i", undo($i, $r->{input})));
}

sub undo {
    my ($text, $size) = @_;
    $text =~ s/\\0([0-7]{3})/chr oct $1/ge;
    return $size ? $text : '';
}

# launch: what this process writes to after the fork is copied, page by page, until C has become the command: that is
# more work than C's. So this process has done everything before, and then waits for that, if it is soon.
sub launch {
    my ($r) = @_;
    pipe(my $out, my $to_out) && pipe(my $err, my $to_err) or return 0;
    $r->{t0} = now();
    $r->{until} = $r->{t0} + $r->{timeout};
    $r->{claim} = join ' ', '', $me, $started, int $r->{t0}, @$r{qw(timeout grace)}, 'p', $r->{cap},
        map({ (stat $_)[1] } $out, $err), '.';
    $r->{out} = stream($r, $out, 'o');
    $r->{err} = stream($r, $err, 'e');
    $ours{"$r->{run}.$r->{nonce}"} = $r;
    by(least($r->{until}, $r->{t0} + 100));
    pipe(my $changed, my $change) or return 0;
    my $wait = '';
    vec($wait, fileno $changed, 1) = 1;
    my $pid = fork;
    return 0 unless defined $pid;
    become($r, $to_out, $to_err) if $pid == 0;
    close $change;    # exec closes the other one
    select($wait, undef, undef, $HEAD_START);
    $r->{pid} = $pid;
    $children{$pid} = [\&buried, $r];
    return 1;
}

# become: C. Everything before the claim may fail freely; after it there is only the exec.
sub become {
    my ($r, $out, $err) = @_;
    eval {
        $SIG{$_} = 'IGNORE' for @ignored;
        POSIX::setsid();
        my $in = $null;
        if ($r->{input}) { undef $in; sysopen($in, "$r->{own}.i", O_RDONLY) or POSIX::_exit($!) }
        both_ways($_) for $out, $err;
        claim($r);
        syswrite($born, "$r->{run}.$r->{nonce}\n") if $r->{flags} =~ /a/;
        $ENV{VENDETTA_RUN} = $r->{run};
        umask $umask;
        POSIX::dup2(fileno $in, 0);
        POSIX::dup2(fileno $out, 1);
        POSIX::dup2(fileno $err, 2);
        exec {$sh} $sh, "$r->{own}.c";
    };
    POSIX::_exit(127);
}

sub both_ways {
    sysopen(my $both, '/proc/self/fd/' . fileno $_[0], O_RDWR) or POSIX::_exit($!);
    $_[0] = $both;
}

# claim: the first whole line of the log is this one, or this process ends here.
sub claim {
    my ($r) = @_;
    my ($pid, undef, undef, undef, $start) = peek('self');
    my $line = "\nc $r->{nonce} $r->{digest} $boot $pid $start$r->{claim}\n";
    my $n = syswrite($r->{log}, $line);
    POSIX::_exit(defined $n ? POSIX::ENOSPC() : $!) unless defined $n and $n == length $line;
    sysseek($r->{log}, 0, 0);
    my $text = drink($r->{log});
    POSIX::_exit(0) unless $text eq $line or parse($r->{run}, $text)->{nonce} eq $r->{nonce};
}

# --- output

sub stream {
    my ($r, $from, $suffix) = @_;
    my $s = { run => $r, from => $from, suffix => $suffix, room => $r->{cap}, kept => 0, head => '', tail => '', cut => 0 };
    watch($from, \&pump, $s);
    return $s;
}

sub pump {
    my ($s) = @_;
    my $n = sysread($s->{from}, my $data, 65536);
    return keep($s, $data) if $n;
    return if not defined $n and $! == POSIX::EINTR();
    unwatch(delete $s->{from});
    my $r = $s->{run};
    return attend($r) if defined $r->{code};
    push @closing, $r unless $r->{out}{from} or $r->{err}{from};
}

# drain: C has ended, somebody else still holds its output. What C wrote is in the pipe, which holds no more than this.
sub drain {
    my ($s) = @_;
    for (1 .. 16) {
        my $ready = '';
        vec($ready, fileno $s->{from}, 1) = 1;
        last if select($ready, undef, undef, 0) < 1;
        my $n = sysread($s->{from}, my $data, 65536);
        return 0 if defined $n and $n == 0;
        keep($s, $data) if $n;
    }
    return 1;
}

# keep: the head up to the cap goes to the file at once, the last bytes beyond it when the run is over.
sub keep {
    my ($s, $data) = @_;
    if ($s->{room} > 0) {
        my $head = substr($data, 0, $s->{room}, '');
        $s->{room} -= length $head;
        $s->{room} = 0 unless store_output($s, $head);
    }
    return if $data eq '';
    $s->{tail} .= $data;
    trim($s) if length $s->{tail} > 4 * $tail_size;
}

sub trim {
    my ($s) = @_;
    my $over = length($s->{tail}) - $tail_size;
    return if $over <= 0;
    $s->{cut} = 1;
    substr($s->{tail}, 0, $over, '');
}

sub store_output {
    my ($s, $text) = @_;
    $s->{to} or sysopen($s->{to}, "$s->{run}{own}.$s->{suffix}", O_WRONLY | O_APPEND | O_CREAT) or undef $s->{to};
    my $n = $s->{to} ? pour($s->{to}, $text) : 0;
    $s->{kept} += $n;
    $s->{head} .= substr($text, 0, $n) if $s->{kept} <= $PLAIN;
    return 1 if $n == length $text;
    $s->{cut} = 1;
    return 0;
}

# --- the end

# buried PID STATUS: C is gone, and its number will soon be another's. Whether it had claimed, its log says.
sub buried {
    my ($r, $status) = @_;
    $r->{t1} = now();
    $r->{status} = $status;
    $r->{code} = $status & 127 ? 128 + ($status & 127) : $status >> 8;
    attend($r);
}

# judge: after C's end. False as long as the log cannot be read. A claim and no more: nobody has asked it to stop.
sub judge {
    my ($r) = @_;
    sysseek($r->{log}, 0, 0);
    my $text = drink($r->{log});
    return 0 unless defined $text;
    return $r->{judged} = 1 if $text =~ /\A\nc $r->{nonce} [^\n]+ \.\n\z/;
    my $log = parse($r->{run}, $text);
    return 0 * refuse($r, $r->{status} & 127 ? 0 : $r->{status} >> 8) if $log->{nonce} ne $r->{nonce};
    $r->{judged} = 1;
    @$r{qw(stop start)} = @$log{qw(stop start)};
    return 1;
}

# finish: write down how it ended, answer, and forget the run.
sub finish {
    my ($r) = @_;
    my $stray = 0;
    for my $s (@$r{qw(out err)}) {
        $stray = 1 if $s->{from} and drain($s);
        unwatch(delete $s->{from}) if $s->{from};
        trim($s);
        store_output($s, $s->{tail}) if $s->{tail} ne '';
    }
    my $took = $r->{t1} - $r->{t0};
    my @end = ($r->{code}, $precise ? sprintf('%.3f', $took) : int $took, $r->{stop} || 'none',
        map({ ($_->{kept}, $_->{cut}) } @$r{qw(out err)}), $stray, $r->{unsure} || 0);
    my $end = "@end";
    add($r->{log}, "e $end") or say_end($r->{run}, $end) or $unsaid{$r->{run}} = $end;
    tell_done($r->{seq}, 'end', $r->{run}, $r->{nonce}, $r, @end);
    truncate "$r->{own}.c", 0;
    truncate "$r->{own}.i", 0 if $r->{input};
    forget($r);
}

# say_end: on a disk so full that not even that line fits, the name of an empty file says it.
sub say_end {
    my ($run, $end) = @_;
    return 1 if note($run, "e $end");
    my ($code, $took, @rest) = split ' ', $end;
    return sysopen(my $f, join('.', "$dir/$run.E", $code, int $took, @rest), O_WRONLY | O_CREAT);
}

# refuse RUN ERRNO: nothing was claimed by this delivery. Somebody else may have.
sub refuse {
    my ($r, $why) = @_;
    my $log = look($r->{run});
    if ($log and $log->{first}) { attach($r->{seq}, $log, $r->{digest}) }
    else { sorry($r->{seq}, $why) }
    unlink map { "$r->{own}.$_" } qw(c i o e);
    forget($r);
}

sub forget {
    my ($r) = @_;
    for my $s (grep { $_ } delete @$r{qw(out err)}) {
        unwatch(delete $s->{from}) if $s->{from};
    }
    delete $ours{"$r->{run}.$r->{nonce}"};
}
