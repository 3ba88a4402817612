# Ends servers when nobody is left who uses them: see warden.rs.
#
#   sh warden.sh DIRECTORY LINGER [FIFO]
#
# Reads lines from its standard input, or from the FIFO, which it makes:
#   watch PID   this one is ended with the others
#   spare PID   it has ended already
#   join        one more user
# The input ends when the last who holds it open is gone. With a FIFO it waits LINGER seconds for
# another one, before nobody can join any more.

trap '' HUP INT TERM QUIT
directory=$1 linger=$2 fifo=${3-} pids=

# Reads to the end of the input; fails when there was nothing to read.
serve() {
  heard=1
  while read -r word pid; do
    heard=0
    case $word in
      watch) pids="$pids $pid" ;;
      spare)
        left=
        for each in $pids; do [ "$each" = "$pid" ] || left="$left $each"; done
        pids=$left
        ;;
    esac
  done
  return $heard
}

if [ -n "$fifo" ]; then
  mkfifo -m 600 "$fifo" || exit
  exec <"$fifo"
fi
serve
if [ -n "$fifo" ]; then
  while sleep "$linger"; serve; do :; done
  rm -f "$fifo"
  serve # those who came in the last moment
fi
for pid in $pids; do kill -KILL "$pid"; done
rm -rf "$directory"
