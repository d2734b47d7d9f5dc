# A run's log, and what is answered about it.

my $PLAIN = 2048;     # bytes of output that an answer may hold
my $tail_size = 65536;
my %unsaid;           # ends that fit nowhere on the disk so far
my @answers;          # lines for the channel
my $deaf = 0;         # the channel takes no more

sub reply {
    my ($seq, $text) = @_;
    push @answers, "$seq " . length($text) . " $text\n" unless $deaf;
}

# note RUN TEXT: append one line to a run's log. The first complete line is the claim (c) or the tombstone (k).
# The newline in front keeps a torn line from swallowing this one; the dot says that it is whole.
sub note {
    my ($run, $text) = @_;
    sysopen(my $log, "$dir/$run.l", O_WRONLY | O_APPEND | O_CREAT) or return 0;
    return add($log, $text);
}

# add HANDLE TEXT: the same to a log that is open
sub add {
    my $n = syswrite($_[0], "\n$_[1] .\n");
    return defined $n && $n == length($_[1]) + 4;
}

# look RUN: its log taken apart; undefined when it cannot be told. Absent: `first` is empty.
sub look {
    my $text = slurp("$dir/$_[0].l");
    return undef unless defined $text or $! == POSIX::ENOENT();
    return parse($_[0], defined $text ? $text : '');
}

sub parse {
    my ($run, $text) = @_;
    my %log = (run => $run, first => '', stop => '', gone => '', saver => '', end => '', nonce => '', digest => '', boot => '');
    for (split /\n/, $text) {
        my ($letter, $rest) = /^(\S+) (.*) \.$/ or next;
        $log{first} ||= $letter;
        if ($letter eq 'c') { claimed(\%log, $rest) if $log{first} eq 'c' and not $log{nonce} }
        elsif ($letter eq 'k') { ($log{stop}) = split ' ', $rest unless $log{stop} }
        elsif ($letter eq 'z') { $log{gone} = $rest }
        elsif ($letter eq 's') { $log{saver} = $rest }
        elsif ($letter eq 'e') { $log{end} ||= $rest }
    }
    return \%log;
}

sub claimed {
    my ($log, $rest) = @_;
    @$log{qw(nonce digest boot pid start supervisor since t0 timeout grace by)} = split ' ', $rest;
}

sub command_alive {
    my ($log) = @_;
    return $log->{boot} eq $boot && alive($log->{pid}, $log->{start});
}

# supervisor_alive: it was there at that time. A process that got its pid later is another one.
sub supervisor_alive {
    my ($log) = @_;
    return 0 if $log->{boot} ne $boot;
    my @process = peek($log->{supervisor}) or return 0;
    return $process[1] !~ /[ZXx]/ && $process[4] <= $log->{since};
}

# saving: the supervisor is gone, and what the command wrote is still being read
sub saving {
    my ($log) = @_;
    return $log->{saver} && $log->{boot} eq $boot && alive(split ' ', $log->{saver});
}

# ended LOG: a supervisor that could not write its last line left a file name.
sub ended {
    my ($log) = @_;
    my $run = $log->{run};
    $log->{end} ||= $unsaid{$run} || '';
    return 1 if $log->{end};
    return 0 if $ours{"$run.$log->{nonce}"};
    opendir(my $all, $dir) or return 0;
    for (readdir $all) {
        $log->{end} = join ' ', split /\./, $1 if /^\Q$run\E\.E\.(.*)/;
    }
    return $log->{end} ne '';
}

# answer SEQUENCE KIND RUN: what is known about a run, with its output when that is small and plain
sub answer {
    my ($seq, $kind, $run) = @_;
    my $log = look($run);
    if (not $log) { reply($seq, "err io $!") }
    elsif ($log->{first} eq '') { reply($seq, "$kind $run - absent none - - 0 0 0 0 0 0 - 0 0 ") }
    elsif ($log->{first} ne 'c') { reply($seq, "$kind $run - tombstone none - - 0 0 0 0 0 0 - 0 0 ") }
    elsif (ended($log)) { answer_done($seq, $kind, $log) }
    else { answer_open($seq, $kind, $log) }
}

sub answer_done {
    my ($seq, $kind, $log) = @_;
    my ($run, $nonce) = @$log{qw(run nonce)};
    tell_done($seq, $kind, $run, $nonce, $ours{"$run.$nonce"}, split ' ', $log->{end});
}

sub tell_done {
    my ($seq, $kind, $run, $nonce, $r, $code, $took, $stop, $out, $out_cut, $err, $err_cut, $stray, $unsure) = @_;
    my $text = plain("$dir/$run.$nonce", $r, $out, $err);
    reply($seq, "$kind $run $nonce done $stop $code $took $out $out_cut $err $err_cut $stray $unsure "
        . (defined $text ? "+ $out $err $text" : '- 0 0 '));
}

# plain FILES RUN OUT ERR: both streams, newlines as US; undefined when they are large, or anything but plain text
sub plain {
    my ($own, $r, $out, $err) = @_;
    return '' if $out + $err == 0;
    return undef if $out + $err > $PLAIN;
    my $text = $r ? $r->{out}{head} . $r->{err}{head} : join '', map { my $t = sip($_); defined $t ? $t : '' } "$own.o", "$own.e";
    return undef if length $text != $out + $err or $text =~ /[^\t\n -~]/;
    $text =~ tr/\n/\037/;
    return $text;
}

# answer_open: no end is known. Liveness first, then the log again: it may have just finished.
sub answer_open {
    my ($seq, $kind, $log) = @_;
    my $r = $ours{"$log->{run}.$log->{nonce}"};
    my $state = $r || supervisor_alive($log) ? 'running' : command_alive($log) || saving($log) ? 'orphan' : 'lost';
    $log = $r ? $log : look($log->{run}) || $log;
    return answer_done($seq, $kind, $log) if ended($log);
    my ($out, $err) = $r ? ($r->{out}{kept}, $r->{err}{kept}) : grown($log, $state);
    my ($stop, $unsure) = ($log->{stop} || 'none', $log->{gone} eq '1' ? 1 : 0);
    reply($seq, "$kind $log->{run} $log->{nonce} $state $stop - - $out 0 $err 0 0 $unsure - 0 0 ");
}

# grown LOG STATE: the sizes of its output so far. A shell's supervisor has it at 8 and 9.
sub grown {
    my ($log, $state) = @_;
    my @sizes;
    if ($state eq 'running' and not $log->{by}) {
        @sizes = map { (sip("/proc/$log->{supervisor}/fdinfo/$_") || '') =~ /^pos:\s+(\d+)/ ? $1 : () } 8, 9;
    }
    return @sizes if @sizes == 2;
    my $own = "$dir/$log->{run}.$log->{nonce}";
    return map { -s $_ || 0 } "$own.o", "$own.e";
}

# attach: the id is taken. The same digest may look on, another one is a conflict.
sub attach {
    my ($seq, $log, $digest) = @_;
    if ($log->{first} eq 'c' and $log->{digest} ne $digest) { reply($seq, "err conflict $log->{run}") }
    else { answer($seq, 'st', $log->{run}) }
}

# sorry SEQUENCE ERRNO: nothing was claimed, and why not
sub sorry {
    my ($seq, $why) = @_;
    local $! = $why;
    if ($why == POSIX::ENOSPC() or $why == POSIX::EDQUOT()) { reply($seq, 'err nospace the disk or the quota') }
    elsif ($why) { reply($seq, "err start $!") }
    else { reply($seq, 'err start the command ended before it could claim the run') }
}
