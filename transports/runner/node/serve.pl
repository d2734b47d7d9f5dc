# Requests and the loop. The greeting is the shell's, except for its flavour.
#
# request: <length of rest> <sequence> <verb> <rest>      answer: <sequence> <length of rest> <rest>

my ($open, $request, $poked) = (1, '', 0);
my $LIMIT = 256;    # answers that wait for the channel, until no more requests are read
my $own = $$;       # not in a child

sub verb_cancel {
    my ($seq, $run) = @_;
    my $log = look($run) or return sorry($seq, $!);
    if ($log->{first} eq '' or stoppable($log)) {
        note($run, 'k cancel ' . int now()) or return reply($seq, "err nospace $run");
        $log = look($run) || $log;
    }
    if ($log->{first} eq 'c' and not $log->{end}) {
        my $r = $ours{"$run.$log->{nonce}"};
        if ($r) { attend($r) }
        else { summon() && alert("k $run\n") }
    }
    answer($seq, 'st', $run);
}

sub stoppable {
    my ($log) = @_;
    return 0 if $log->{first} ne 'c' or $log->{end} or $log->{stop};
    return $ours{"$log->{run}.$log->{nonce}"} || supervisor_alive($log) || command_alive($log);
}

sub on_request {
    my ($seq, $verb, @words) = @_;
    if ($verb eq 'start') { verb_start($seq, @words) }
    elsif ($verb eq 'status') { summon(); answer($seq, 'st', @words) }
    elsif ($verb eq 'cancel') { verb_cancel($seq, @words) }
    elsif ($verb eq 'gc') { verb_gc($seq, @words) }
    elsif ($verb eq 'ping') { revive(); reply($seq, 'pong') }
    elsif ($verb eq 'probe') { verb_probe($seq) }
    else { reply($seq, "err verb $verb") }
}

# hear: what comes over the channel. A line that is not whole ends the session, and never runs.
sub hear {
    my $n = sysread(STDIN, $request, 65536, length $request);
    return if not defined $n and ($! == POSIX::EINTR() or $! == POSIX::EAGAIN());
    return hang_up() unless $n;
    while ($open and (my $end = index $request, "\n") >= 0) {
        my ($length, $seq, $verb, $rest) = split / /, substr($request, 0, $end), 4;
        substr($request, 0, $end + 1, '');
        return hang_up(), mute() unless defined $rest and length $rest == $length;
        eval { on_request($seq, $verb, split / /, $rest); 1 } or reply($seq, 'err runner ' . inline($@));
    }
}

sub inline {
    my ($text) = @_;
    $text =~ s/[^ -~]+/ /g;
    return substr $text, 0, 500;
}

# hang_up: nobody asks any more. Runs that go on keep this process.
sub hang_up {
    $open = 0;
    vec($reads, 0, 1) = 0;
    delete $on_read{0};
    POSIX::dup2(fileno $null, 0);
}

sub mute {
    ($deaf, @answers) = (1);
    POSIX::dup2(fileno $null, 1);
}

# utter: whole lines only, and no more than a pipe takes at once: the loop never waits for the channel
sub utter {
    my $text = shift @answers;
    $text .= shift @answers while @answers and length($text) + length($answers[0]) <= 4096;
    mute() unless pour(*STDOUT, $text) == length $text;
}

sub acknowledge {
    return unless sysread($births, my $runs, 65536);
    for my $r (map { $ours{$_} || () } split /\n/, $runs) {
        reply($r->{seq}, "st $r->{run} $r->{nonce} running none - - 0 0 0 0 0 0 - 0 0 ");
    }
}

sub bury {
    my @due = splice @closing;
    $child_ended = 0;
    while ((my $pid = waitpid(-1, POSIX::WNOHANG())) > 0) {
        my ($call, $argument) = @{ delete $children{$pid} || [] };
        $call->($argument, $?) if $call;
    }
    for my $r (@due) { again($r, now()) unless defined $r->{code} }
}

# tick: everything that depends on the time
sub tick {
    ($due, $poked) = (9e15, 0);
    bury();
    note_unsaid();
    my @all = values %ours;
    attend($_) for @all;
    leave_me() if $watched;
    by($summoned + 100) unless $reaper or not %ours or now() >= $summoned + 100 and summon();
}

sub note_unsaid {
    for my $run (keys %unsaid) { delete $unsaid{$run} if say_end($run, $unsaid{$run}) }
    by(now() + 100) if %unsaid;
}

sub turn {
    my ($readable, $writable) = ($reads, '');
    vec($readable, 0, 1) = 0 if @answers > $LIMIT;
    vec($writable, 1, 1) = 1 if @answers;
    my $wait = $due < 9e15 ? ($due - now()) / 100 : undef;
    # A signal that came since the flags were looked at wakes nothing any more.
    my $n = select($readable, $writable, undef, $child_ended || $poked || defined $wait && $wait < 0 ? 0 : $wait);
    if ($n > 0) {
        utter() if vec($writable, 1, 1);
        # One of them may close another's descriptor, and a third may get that number: it was not said to be readable.
        my @all = grep { vec($readable, $_->[2], 1) } values %on_read;
        for my $ready (@all) {
            $ready->[0]($ready->[1]) if ($on_read{$ready->[2]} || 0) == $ready;
        }
    }
    bury() if $child_ended or @closing;
    tick() if $poked or now() >= $due;
}

# serve HELLO BOOT INSTALL DIRECTORY FILE SHELL UMASK VARIABLES...: the last are those that would have changed this perl
sub serve {
    ($hello, $boot, my $install, $dir, $file, $sh, my $mask) = splice @_, 0, 7;
    delete $ENV{LC_ALL};
    for (@_) { $ENV{$1} = $2 if /^(\w+)=(.*)/s }
    $umask = oct $mask;
    ($me, undef, undef, undef, $started) = peek('self');
    set_clock();
    set_signals();
    sysopen($null, '/dev/null', O_RDWR) && pipe($births, $born) or exit 1;
    $text = slurp($file);
    watch($births, \&acknowledge);
    watch(*STDIN, \&hear);
    pour(*STDOUT, "\nVND1 $hello hello $boot perl $install $dir\n");
    $due = 9e15;
    turn() while $open or %ours;
    alert("x\n") if $reaper;
    POSIX::_exit(0);
}

sub set_signals {
    my %call = (CHLD => sub { $child_ended = 1 }, USR1 => sub { $poked = 1 });
    for (qw(HUP INT QUIT TERM PIPE USR1 CHLD)) {
        push @ignored, $_ if ($SIG{$_} || '') eq 'IGNORE';
        $SIG{$_} = $call{$_} || \&shrug;
    }
}

# shrug: this process does not care, and whatever it becomes by exec does again. Just before that it does already.
sub shrug {
    my ($name) = @_;
    return if $$ == $own;
    $SIG{$name} = 'DEFAULT';
    kill $name, $$;
}
