#!/bin/busybox sh
# The guest's first process: makes the machine ready, runs every test binary, and
# says what came of it on the second serial line. The kernel's own words go to the
# first.
/bin/busybox --install -s
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs run /run
mount -t tmpfs tmp /tmp
ln -s /run /var/run
mkdir -p /var/lib
hostname guest
ip link set lo up

# Nothing may be made of what tests write: not a carriage return before a line feed.
stty -F /dev/ttyS1 raw -echo
exec 3>/dev/ttyS1
# A line of ours begins with a byte that no test writes.
say() { printf '\036guest %s\n' "$*" >&3; }

export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TMPDIR=/tmp
export CI=true UNDERSTUDY_GUEST=1 UNDERSTUDY_REQUIRE_NETNS=1 UNDERSTUDY_BINARY=/bin/understudy
run=$(cat /tests/run) timeout=$(cat /tests/timeout)
say up "$(uname -r)"
while read -r name package; do
	say begin "$package"
	cd /tmp
	/tests/"$name" -test.v=test2json -test.run "$run" -test.parallel 4 -test.timeout "$timeout" </dev/null >&3 2>&1
	say end "$package" $?
done </tests/list
say done
poweroff -f
