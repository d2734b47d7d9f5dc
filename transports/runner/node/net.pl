# The safety net: a reaper, the shell's, detached. While there are runs it looks whether this process was stopped;
# when this process is gone it takes over every run in the journal. Also the verbs that only the shell has.

my ($reaper, $to_reaper, $summoned) = (0, undef, -1000);
my ($journal, $journal_name, $entries, $generation) = (undef, '', 0, -1);
my ($watched, $busy_at) = (0, 0);
my $text;    # the shell's program: its file may be lost

# summon: start a reaper unless it is there; false, with $!, when that is impossible.
sub summon {
    return 1 if $reaper;
    -s $file or fill("$file.$hello", $text) && rename "$file.$hello", $file or return 0;
    pipe(my $from, my $to) or return 0;
    $summoned = now();
    my $pid = shell($from, $null, 1, 'reap') or return 0;
    $reaper = $pid;
    $to_reaper = $to;
    $children{$pid} = [\&bereft];
    $watched = 0;
    return new_journal() && alert("p\ni $hello.$generation\n") && (not %ours or watch_me());
}

# revive: if there was a reaper, there is one. Without runs, its own or others', there need not be any.
sub revive { return $generation < 0 || summon() }

# bereft: the reaper is gone. There will be another one.
sub bereft {
    $reaper = 0;
    by(now());
}

# watch_me: said when there are runs, and taken back when there were none for a while
sub watch_me {
    $busy_at = now();
    return 1 if $watched;
    by($busy_at + 200);
    return $watched = alert("w $me $started\n");
}

sub leave_me {
    my $now = now();
    $busy_at = $now if %ours;
    return by($busy_at + 200) if $now < $busy_at + 200;
    $watched = 0;
    alert("w\n");
}

# shell IN OUT DETACHED WORDS: start the shell's program; answers its pid.
sub shell {
    my ($in, $out, $detached, @words) = @_;
    my $pid = fork;
    return $pid if $pid or not defined $pid;
    eval {
        POSIX::setsid() if $detached;
        $ENV{LC_ALL} = 'C';
        POSIX::dup2(fileno $in, 0);
        POSIX::dup2(fileno $out, 1);
        exec {$sh} $sh, $file, @words;
    };
    POSIX::_exit(127);
}

sub alert {
    my ($events) = @_;
    return defined syswrite($to_reaper, $events);
}

# new_journal: it names its owner and every run that is not over from the moment it has its name.
sub new_journal {
    my $name = "$dir/J.$hello." . ($generation + 1);
    my (undef, undef, undef, undef, $since) = peek($reaper) or return 0;
    sysopen(my $new, "$dir/j.$hello", O_WRONLY | O_APPEND | O_CREAT | O_TRUNC) or return 0;
    my $lines = "R $reaper $since $boot\n" . join '', map { "r $_->{run}\n" } values %ours;
    pour($new, $lines) == length $lines && rename "$dir/j.$hello", $name or return 0;
    unlink $journal_name if $journal_name;
    ($journal, $journal_name, $entries) = ($new, $name, 0);
    $generation++;
    return 1;
}

# journal RUN: from here on the reaper, when it wakes, and whoever comes after it, knows of this run
sub journal {
    my ($run) = @_;
    summon() or return 0;
    if (++$entries > 512) { new_journal() && alert("j $hello.$generation\n") or return 0 }
    my $n = syswrite($journal, "r $run\n");
    $! = POSIX::ENOSPC() if defined $n;
    return defined $n && $n == length($run) + 3;
}

# --- verbs

# aside SEQUENCE WORDS: let the shell answer
sub aside {
    my ($seq, @words) = @_;
    pipe(my $from, my $to) or return sorry($seq, $!);
    shell($null, $to, 0, @words, $seq) or return sorry($seq, $!);
    watch($from, \&pass_on, { from => $from, text => '' });
}

sub pass_on {
    my ($task) = @_;
    my $n = sysread($task->{from}, $task->{text}, 65536, length $task->{text});
    return if $n or not defined $n and $! == POSIX::EINTR();
    unwatch($task->{from});
    push @answers, $task->{text} if not $deaf and $task->{text} =~ /^\d+ \d+ [^\n]*\n\z/;
}

# verb_probe: as the shell does, which looks around for both
sub verb_probe {
    my ($seq) = @_;
    my $now = int now();
    my ($then, $facts) = (sip("$dir/P") || '') =~ /\A$boot (\d+) (.*) \.\n/;
    if (defined $then and $then <= $now and $now - $then < 6000) {
        revive();
        my ($load) = split ' ', sip('/proc/loadavg');
        return reply($seq, "pr $now$facts\037load=$load");
    }
    summon() && alert("a\n");
    aside($seq, 'probe');
    expire();
}

# expire: once an hour is enough, as the shell finds, too
sub expire {
    my $last = (stat "$dir/X")[9];
    shell($null, $null, 0, 'expire') unless defined $last and abs(time - $last) < 3600;
}

# verb_gc: in a process of its own. Some filesystems punish many deletions.
sub verb_gc {
    my ($seq, @runs) = @_;
    pipe(my $from, my $to) or return sorry($seq, $!);
    my $pid = fork;
    return sorry($seq, $!) unless defined $pid;
    if ($pid == 0) {
        eval { drop($_) for @runs; syswrite($to, "$seq 2 ok\n") };
        POSIX::_exit(0);
    }
    watch($from, \&pass_on, { from => $from, text => '' });
}

sub drop {
    my ($log) = look($_[0]);
    return unless $log and $log->{first} eq 'c';
    return unless ended($log) or not supervisor_alive($log) || command_alive($log) || saving($log);
    unlink map { "$dir/$log->{run}.$log->{nonce}.$_" } qw(c i o e);
    unlink "$dir/$log->{run}.l" if $log->{run} =~ /^0{12}/; # fleeting: it may as well be done again
}
