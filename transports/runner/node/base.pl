# The runner in perl: one process a connection that serves requests and supervises every run that it started.
#
# It leaves the same files as the shell runner and reads its own: runners of both kinds share a node at the same
# time. Only core modules, and nothing newer than perl 5.10. This file: what is around us, clocks, processes.

use strict;
use Fcntl qw(O_RDONLY O_WRONLY O_RDWR O_APPEND O_CREAT O_TRUNC);

my ($hello, $boot, $dir, $file, $sh, $umask);    # from the shell that came before, see hand_over
my ($me, $started, $null);    # this process's pid and start time; /dev/null
my @ignored;                  # signals that the login ignores, so the commands do, too
my %ours;                     # by "run.delivery": every run of this runner that is not over
my %children;                 # by pid: whom to call with its status
my $child_ended = 0;          # at least one probably did
my @closing;                  # runs whose output has just ended: so did their commands, or they soon will
my %on_read;                  # by descriptor: whom to call, with what
my ($reads, $due) = ('', 0);  # descriptors to select; when to tick next
my ($precise, $ahead) = (0, 0);

# sip PATH: the beginning of a file, all of it where it is a line of /proc. Undefined, with $!, when it cannot be read.
sub sip {
    sysopen(my $from, $_[0], O_RDONLY) or return undef;
    my $text;
    return defined sysread($from, $text, 65536) ? $text : undef;
}

# slurp PATH: all of a file
sub slurp {
    sysopen(my $from, $_[0], O_RDONLY) or return undef;
    return drink($from);
}

# drink HANDLE: what is left to read of a file
sub drink {
    my ($text, $n) = ('');
    1 while ($n = sysread($_[0], $text, 65536, length $text)) and $n == 65536;
    return defined $n ? $text : undef;
}

# pour HANDLE TEXT: how many of its bytes arrived. A full disk takes a part.
sub pour {
    my ($to, $at) = ($_[0], 0);
    while ($at < length $_[1]) {
        my $n = syswrite($to, $_[1], length($_[1]) - $at, $at);
        next if not defined $n and $! == POSIX::EINTR();
        last unless $n;
        $at += $n;
    }
    return $at;
}

# fill PATH TEXT: make a file of it; false, with $!, unless all of it arrived
sub fill {
    sysopen(my $to, $_[0], O_WRONLY | O_CREAT | O_TRUNC) or return 0;
    return pour($to, $_[1]) == length $_[1];
}

# watch HANDLE CALL ARGUMENT: call when there is something to read
sub watch {
    my $fd = fileno $_[0];
    vec($reads, $fd, 1) = 1;
    $on_read{$fd} = [@_[1, 2], $fd];
}

sub unwatch {
    my $fd = fileno $_[0];
    vec($reads, $fd, 1) = 0;
    delete $on_read{$fd};
    close $_[0];
}

# now: hundredths of a second since boot, by the clock of /proc/uptime. A container may show one of its own.
sub now {
    return 100 * Time::HiRes::clock_gettime(7) + $ahead if $precise;
    return uptime();
}

sub uptime {
    my ($seconds) = split ' ', sip('/proc/uptime');
    return 100 * $seconds;
}

sub set_clock {
    $precise = eval { require Time::HiRes; Time::HiRes::clock_gettime(7) > 0 } or return;
    my $off = uptime() - now();
    $ahead = $off if abs $off > 5;
}

# by WHEN: tick no later than then
sub by { $due = $_[0] if $_[0] < $due }

# peek PID|self: pid, state, group, session, start time; nothing when there is no such process.
# A process may be called "a) b": only what follows the last ") " counts.
sub peek {
    my $text = sip("/proc/$_[0]/stat");
    my $at = defined $text ? rindex $text, ') ' : return;
    my @stat = split ' ', substr($text, $at + 2), 21;
    return (substr($text, 0, index $text, ' '), @stat[0, 2, 3, 19]);
}

# alive PID START: that very process runs. Not a zombie, not another one with its number.
sub alive {
    my ($pid, $start) = @_;
    my @process = peek($pid) or return 0;
    return $process[1] !~ /[ZXx]/ && $process[4] == $start;
}
