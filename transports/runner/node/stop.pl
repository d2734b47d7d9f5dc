# The time limit and the stop of a run: TERM, grace, KILL, then whatever is left of it.
#
# The phases are those of the shell's reaper, which goes on with them if this process dies:
#   0 running   1 TERM sent, KILL at `until`   2 KILL sent, give up at `until`   3 reported as not gone

# attend RUN: whatever there is to do for it now. Sets the time at which to look again.
sub attend {
    my ($r) = @_;
    my $now = now();
    return mind($r, $now) unless defined $r->{code};
    $r->{judged} or judge($r) or return $ours{"$r->{run}.$r->{nonce}"} && by($now + 100);
    return again($r, $now) unless $r->{stop} eq '' or settled($r, $now);
    return by($r->{t1} + 100) if ($r->{out}{from} or $r->{err}{from}) and $now < $r->{t1} + 100;
    finish($r);
}

# again: soon, then less and less often
sub again {
    my ($r, $now) = @_;
    by($now + $r->{nap});
    $r->{nap} *= 2 if $r->{nap} < 50;
}

# mind: C is alive. Its limit, and stops that others noted.
sub mind {
    my ($r, $now) = @_;
    if ($r->{phase} == 0) { notice($r, $now) }
    else { press($r, $now) }
    by($r->{phase} < 2 ? least($r->{until}, $now + 100) : $now + 50);
    again($r, $now) unless $r->{out}{from} or $r->{err}{from};    # its end may be close
}

sub least { return $_[0] < $_[1] ? $_[0] : $_[1] }

sub notice {
    my ($r, $now) = @_;
    my $size = -s "$dir/$r->{run}.l" || 0;
    my $late = $now >= $r->{until};
    return if $size == $r->{seen} and not $late;
    my $log = look($r->{run}) or return;
    $r->{seen} = $size;
    return if $log->{nonce} ne $r->{nonce} or not $log->{stop} and not $late;
    note($r->{run}, 'k timeout ' . int $now) unless $log->{stop};
    $r->{start} = $log->{start};
    $r->{stop} = $log->{stop} || 'timeout';
    kill 'TERM', -$r->{pid};
    @$r{qw(phase until nap)} = (1, $now + $r->{grace}, 1);
}

# press: a run that is stopped. Answers how many processes of it are left, as far as it looked.
sub press {
    my ($r, $now) = @_;
    if ($r->{phase} == 1) {
        return 1 if $now < $r->{until};
        @$r{qw(phase until nap)} = (2, $now + 500, 1);
    }
    my $left = slay($r);
    if ($left and $r->{phase} == 2 and $now >= $r->{until}) {
        note($r->{run}, 'z 1');
        $r->{phase} = 3;
    }
    return $left;
}

# settled: C is gone. Is everything else, or did we give up? Then `unsure` says so.
sub settled {
    my ($r, $now) = @_;
    return 1 if defined $r->{unsure};
    @$r{qw(phase until nap)} = (1, $now + $r->{grace}, 1) if $r->{phase} == 0;    # another runner sent TERM
    my $left = $r->{phase} == 1 && $now < $r->{until} ? survivors($r) : press($r, $now);
    return 0 if $left and $r->{phase} < 3;
    note($r->{run}, 'z 0') if $r->{phase} == 2;
    $r->{unsure} = $left ? 1 : 0;
    return 1;
}

# survivors RUN: processes in its session, its group, or with its cookie in their environment.
# All of them are younger than the command, which leaves few environments to read.
sub survivors {
    my ($r) = @_;
    opendir(my $all, '/proc') or return 1;
    return grep { /^\d/ && belongs($r, $_) } readdir $all;
}

sub belongs {
    my ($r, $number) = @_;
    my ($pid, $state, $group, $session, $start) = peek($number) or return 0;
    return 0 if $state =~ /[ZXx]/ or $start < $r->{start} or $session == 0;
    return 1 if $group == $r->{pid} or $session == $r->{pid};
    my $environment = slurp("/proc/$number/environ");
    return defined $environment && index("\0$environment", "\0VENDETTA_RUN=$r->{run}\0") >= 0;
}

# slay RUN: KILL whatever is left of it; answers how many are there after that.
# The group only while C's number is still its own: a child that is not buried keeps it.
sub slay {
    my ($r) = @_;
    kill 'KILL', -$r->{pid} unless defined $r->{code};
    my @left = survivors($r) or return 0;
    kill 'KILL', grep { $_ > 1 } @left;
    return scalar @left;
}
